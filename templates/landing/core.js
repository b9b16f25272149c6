// One visitor's way from the link to being signed in, whatever shows it. How it looks is not decided here.

// Clerk's error codes, as the Frontend API answers them, and the state of the page that each one means.
const FAILURES /*: Record<string, StateName> */ = {
  sign_in_token_already_used_code: "used",
  sign_in_token_revoked_code: "revoked",
  ticket_expired_code: "expired",
  ticket_invalid_code: "invalid",
  resource_not_found: "invalid",
  user_locked: "locked",
  user_banned: "banned",
  network_error: "offline",
};

// What Clerk still asks for after the link, and this page cannot take.
const FURTHER_STEPS = ["needs_second_factor", "needs_client_trust", "needs_new_password"];

// What Clerk still asks of a person who is in (session tasks): such a session is `pending`, and counts as signed out
// until the task is done. Clerk's guide "Tasks after sign-up/sign-in" lists them.
const TASKS /*: Record<string, string> */ = {
  "choose-organization": "choose the organization that you work in",
  "reset-password": "choose a new password",
  "setup-mfa": "set up a second step for signing in",
};

// After these the ticket is good for nothing.
const FINAL = ["used", "revoked", "expired", "invalid"];

// The user that a ticket was made for, as far as it can be read. Unverified: it chooses words, never rights.
function userIn(ticket /*: string */) /*: string */ {
  try {
    const payload = (ticket.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const user = String(JSON.parse(atob(payload)).eid);
    return /^user_\w{1,64}$/.test(user) ? user : "";
  } catch {
    return "";
  }
}

function stateAfter(error /*: unknown */) /*: State */ {
  const fault = Object(error);
  const code = String(fault.errors?.[0]?.code ?? fault.status ?? fault.code ?? "");
  if (fault.status === 429) {
    const seconds = Number(fault.retryAfter);
    return { name: "too_many", wait: seconds > 0 ? `${Math.ceil(seconds)} seconds` : "a minute" };
  }
  if (Object.hasOwn(FAILURES, code)) {
    return { name: FAILURES[code] ?? "failed" };
  }
  // An answer has a status; what has none never reached the service.
  return fault.status ? { name: "failed", code } : { name: "offline" };
}

// The account as its owner knows it.
function nameOf(user /*: User | null | undefined */) /*: string */ {
  return user?.primaryEmailAddress?.emailAddress || user?.username || user?.primaryPhoneNumber?.phoneNumber || user?.id || "";
}

function makeLanding({ link: { ticket, hint, next, renew }, display, forget } /*: Host */) {
  let clerk /*: Clerk | undefined */;
  // A session that the ticket was spent on and that is not active yet: to try again must not spend it twice.
  let session = "";

  function show(state /*: State */) {
    display({ ...state, next, renew });
  }

  // Where the way ends: in, or at the task that is left.
  function arrive(name /*: StateName */, user /*: string */) {
    const current = clerk?.session;
    if (current?.status !== "pending") {
      return show({ name, user });
    }
    const task = TASKS[current.currentTask?.key ?? ""] ?? "finish what your account asks for";
    show({ name: "task", user, task, place: clerk?.buildTasksUrl?.() ?? "" });
  }

  function already(user /*: User */) {
    const other = userIn(ticket);
    if (other !== user.id) {
      const name = other ? "already_other" : "already_unknown";
      return show({ name, user: nameOf(user), other: hint || "another account" });
    }
    forget();
    arrive("already_same", nameOf(user));
  }

  // Nothing in here may spend the ticket: mail scanners open links, some of them in a real browser.
  function begin(loaded /*: Clerk */) {
    clerk = loaded;
    const user = clerk.user;
    if (user && ticket) {
      already(user);
    } else if (user) {
      arrive("signed_in", nameOf(user));
    } else {
      show({ name: ticket ? "ready" : "no_token", hint });
    }
  }

  async function spend() {
    const signIn = await clerk?.client?.signIn.create({ strategy: "ticket", ticket });
    const status = String(signIn?.status ?? "");
    if (status === "complete") {
      forget();
      session = signIn?.createdSessionId ?? "";
    } else if (FURTHER_STEPS.includes(status)) {
      forget();
      show({ name: "second_factor" });
    } else {
      // clerk-js answers with an empty sign-in where the browser knows that it is offline.
      show(status ? { name: "failed", code: status } : { name: "offline" });
    }
  }

  // Another tab signed in meanwhile. Clerk leaves the ticket unspent.
  async function adoptSession() {
    await clerk?.client?.reload();
    const held = clerk?.client?.signedInSessions?.[0];
    if (held && !clerk?.user) {
      await clerk?.setActive({ session: held.id });
    }
    const user = clerk?.user ?? held?.user;
    return user ? already(user) : show({ name: "failed", code: "session_exists" });
  }

  async function accept() {
    try {
      if (!session) {
        await spend();
      }
      if (session) {
        await clerk?.setActive({ session });
        session = "";
        arrive("signed_in", nameOf(clerk?.user) || hint || userIn(ticket));
      }
    } catch (error) {
      if (Object(error).errors?.[0]?.code === "session_exists") {
        return adoptSession().catch((fault /*: unknown */) => show(stateAfter(fault)));
      }
      const state = stateAfter(error);
      if (FINAL.includes(state.name)) {
        forget();
      }
      show(state);
    }
  }

  async function change() {
    try {
      // With a callback in its place, signOut does not navigate away.
      await clerk?.signOut(() => {});
      session = "";
    } catch (error) {
      return show(stateAfter(error));
    }
    await accept();
  }

  async function press(action /*: string */) {
    if (action === "reload") {
      return window.location.reload();
    }
    if (action === "stay") {
      forget();
      return arrive("signed_in", nameOf(clerk?.user));
    }
    show({ name: "working" });
    return action === "change" ? change() : accept();
  }

  return { begin, press };
}
