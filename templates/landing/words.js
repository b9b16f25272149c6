// From a state to what stands on the screen, the same for every view.

// The actions that are links.
const LINKS = ["go", "next", "task"];
// Where the way ends: the link's own path or the redirect follows, after long enough to read where one is.
const DONE = ["signed_in", "already_same"];
const LINGER = 1500;
// How long Clerk may take to load before the page says so; it goes on by itself if Clerk comes after all.
const PATIENCE = 15000;

// Whether a dead link can be replaced: the page knows whom to ask, and the link said for whom.
function isRenewable({ renew } /*: State */) /*: boolean */ {
  return Boolean(RENEW && renew);
}

function textOf(words /*: Words */, state /*: State */) /*: string */ {
  return (isRenewable(state) && words.renewable) || words.text;
}

// The text in pieces; the exact ones, without a space, are names and codes that a person may want to copy.
function pieces(text /*: string */, state /*: State */) {
  const values /*: Record<string, string | undefined> */ = { ...state };
  return text
    .split(/\{(\w+)\}/)
    .map((part, index) => ({ value: index % 2 ? (values[part] ?? "") : part, exact: index % 2 === 1 }))
    .map(({ value, exact }) => ({ value, exact: exact && !value.includes(" ") }))
    .filter(({ value }) => value);
}

function labelOf({ label, named } /*: Action */, { hint } /*: State */) /*: string */ {
  return named && hint ? named + hint : label;
}

// Where a link leads; empty for a button.
function placeOf({ does } /*: Action */, { place, next } /*: State */) /*: string */ {
  const places /*: Record<string, string | undefined> */ = { go: next || REDIRECT, next, task: place };
  return places[does] ?? "";
}

// Where the page goes on to by itself; empty while the person is not in.
function onwardFrom(state /*: State */) /*: string */ {
  return DONE.includes(state.name) ? state.next || REDIRECT : "";
}

function isOffered(action /*: Action */, state /*: State */) /*: boolean */ {
  return action.does === "renew" ? isRenewable(state) : !LINKS.includes(action.does) || Boolean(placeOf(action, state));
}

function actionsOf(actions /*: Action[] */, state /*: State */) {
  return actions.filter((action) => isOffered(action, state));
}
