"use client";

// The page that the sign-in links of an email lead to, for Next.js with the App Router. Put it at the path of
// `link.url`, as app/welcome/page.tsx say, under a <ClerkProvider>, and send with it the headers
// `Referrer-Policy: no-referrer` and `Cache-Control: no-store`. Keep that path out of the matcher of
// clerkMiddleware, whose handshake would carry the address with the token.
// It spends the link only when somebody presses the button: mail scanners open links too.

import { useClerk, useUser } from "@clerk/nextjs";
import { useEffect, useRef, useState } from "react";

type Clerk = ReturnType<typeof useClerk>;
type StateName = keyof typeof STATES;
type State = { name: StateName; user?: string; other?: string; wait?: string; code?: string };
type Action = { label: string; does: string };
type Words = { icon: string; tone: string; title: string; text: string; actions: Action[] };
type Host = { ticket: string; show: (state: State) => void; dropTicket: () => void };

// @script@

// Before Clerk makes the session active, which asks for the current address again.
function replaceAddress(address: string) {
  window.history.replaceState(null, "", address);
}

export default function Page() {
  return (
    <>
      <meta name="referrer" content="no-referrer" />
      <AcceptToken replaceAddress={replaceAddress} />
    </>
  );
}
