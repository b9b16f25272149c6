"use client";

// The page that the sign-in links of an email lead to, for Next.js with the App Router. Put it at the path of
// `link.url`, as app/welcome/page.tsx say, under a <ClerkProvider>. Keep that path out of the matcher of
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
import { useEffect, useRef, useState } from "react";

type Clerk = ReturnType<typeof useClerk>;
type StateName = keyof typeof STATES;
type User = NonNullable<Clerk["user"]>;
type State = {
  name: StateName;
  user?: string;
  other?: string;
  hint?: string;
  next?: string;
  renew?: string;
  task?: string;
  place?: string;
  wait?: string;
  code?: string;
};
type Action = { label: string; named?: string; does: string };
type Words = { icon: string; tone: string; title: string; text: string; renewable?: string; actions: Action[] };
type Link = { ticket: string; hint: string; next: string; renew: string };
type Host = { link: Link; display: (state: State) => void; forget: () => void };

// @script@

// Without Next's own state, which holds the address as it was.
function replaceAddress(address: string) {
  window.history.replaceState(null, "", address);
}

export default function Page() {
  return (
    <>
      <meta name="referrer" content="no-referrer" />
      <script dangerouslySetInnerHTML={{ __html: EARLY }} />
      <AcceptToken replaceAddress={replaceAddress} />
    </>
  );
}
