// The page that the sign-in links of an email lead to, for Next.js with the Pages Router. Put it at the path of
// `link.url`, as pages/welcome.jsx say, with a <ClerkProvider> in pages/_app. Keep that path out of the matcher of
// clerkMiddleware, whose handshake would carry the address with the token.
// It spends the link only when somebody presses the button: mail scanners open links too.
// After that it goes to the path in `next`, where `link_to` of the templates puts one: only to a path of the same site.
// It takes the token out of the address first of all; scripts that the site puts into <head> would read it before.
//
// Send these headers with it, in next.config; if the site sends a Content-Security-Policy, add its directive there:
//
//   async headers() {
//     const headers = [
//       { key: "Content-Security-Policy", value: "frame-ancestors 'none'" },
//       { key: "Referrer-Policy", value: "no-referrer" },
//       { key: "Cache-Control", value: "no-store" },
//     ];
//     return [{ source: "/welcome", headers }];
//   },

import { useClerk, useUser } from "@clerk/nextjs";
import Head from "next/head";
import { useEffect, useRef, useState } from "react";

// @script@

// Next's own entry in the history has to stay, without the token in it.
function replaceAddress(address) {
  const { pathname, search, hash } = new URL(address);
  const as = pathname + search + hash;
  window.history.replaceState({ ...window.history.state, as, url: as }, "", address);
}

export default function Page() {
  return (
    <>
      <Head>
        <title>Sign in</title>
        <meta name="referrer" content="no-referrer" />
        <script dangerouslySetInnerHTML={{ __html: EARLY }} />
      </Head>
      <AcceptToken replaceAddress={replaceAddress} />
    </>
  );
}
