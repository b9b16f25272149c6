// From a state to what stands on the screen, the same for every view.

// Where the way ends: the redirect follows, after long enough to read where one is.
const DONE = ["signed_in", "already_same"];
const LINGER = 1500;
// How long Clerk may take to load before the page says so; it goes on by itself if Clerk comes after all.
const PATIENCE = 15000;

// The text in pieces; the exact ones are names and codes that a person may want to copy.
function pieces(text /*: string */, state /*: State */) {
  const values /*: Record<string, string | undefined> */ = { ...state };
  return text
    .split(/\{(\w+)\}/)
    .map((part, index) => (index % 2 ? { value: values[part] ?? "", exact: part !== "wait" } : { value: part, exact: false }))
    .filter(({ value }) => value);
}

function actionsOf(actions /*: Action[] */) {
  return actions.filter(({ does }) => does !== "go" || REDIRECT);
}
