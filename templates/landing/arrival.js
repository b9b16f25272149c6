// The link that opened the page. Scripts of a site, analytics among them, read the address, so the link leaves it as
// soon as the page loads. It stays in memory, and in the tab's sessionStorage so that a reload finds it.

const HELD = "campaign-link";
// A masked address, as the mail's link carries it: "a…@example.com". It is unverified, and shown as text only.
const HINT = /^[!-~]?…@[^\s@/:?#<>"\u2000-\u206f]{1,253}$/;

function linkIn(address /*: string */) /*: Link */ {
  const { searchParams, hash } = new URL(address);
  const fragment = new URLSearchParams(hash.slice(1));
  const hint = searchParams.get("hint") ?? "";
  const ticket = searchParams.get(PARAMETER) ?? fragment.get(PARAMETER) ?? "";
  return { ticket, hint: HINT.test(hint) ? hint : "" };
}

function withoutLink(address /*: string */) /*: string */ {
  const url = new URL(address);
  url.searchParams.delete(PARAMETER);
  url.searchParams.delete("hint");
  const fragment = new URLSearchParams(url.hash.slice(1));
  if (fragment.has(PARAMETER)) {
    fragment.delete(PARAMETER);
    url.hash = fragment.toString();
  }
  return url.href;
}

// Whether a reload will find it: a browser may refuse the storage.
function keepLink(link /*: Link */) /*: boolean */ {
  try {
    window.sessionStorage.setItem(HELD, JSON.stringify(link));
    return true;
  } catch {
    return false;
  }
}

function forgetLink() {
  try {
    window.sessionStorage.removeItem(HELD);
  } catch {
    // It was not kept either.
  }
}

function keptLink() /*: Link */ {
  try {
    const { ticket, hint } = JSON.parse(window.sessionStorage.getItem(HELD) ?? "{}");
    return { ticket: String(ticket ?? ""), hint: String(hint ?? "") };
  } catch {
    return { ticket: "", hint: "" };
  }
}

function takeLink(replaceAddress /*: (address: string) => void */) /*: Link */ {
  const address = window.location.href;
  const link = linkIn(address);
  if (!link.ticket) {
    return keptLink();
  }
  keepLink(link);
  replaceAddress(withoutLink(address));
  return link;
}

// A second link to the same page that differs only in the fragment does not load the page by itself.
function loadNextLink() {
  if (linkIn(window.location.href).ticket) {
    window.location.reload();
  }
}
