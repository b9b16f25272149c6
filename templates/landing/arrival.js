// The link that opened the page. Scripts of a site, analytics among them, read the address, so the link leaves it as
// soon as the page loads. It stays in memory, and in the tab's sessionStorage so that a reload finds it.

const HELD = "campaign-link";
// A masked address, as the mail's link carries it: "a…@example.com". It is unverified, and shown as text only.
const HINT = /^[!-~]?…@[^\s@/:?#<>"\u2000-\u206f]{1,253}$/;

// The tag with which the page asks for a new link where this one is dead. It signs in nobody.
const TAG = /^[A-Za-z0-9_-]{34}$/;

// Where the page goes on to: only a path of this site, however browsers and servers read it, since anyone can write a
// link. `campaign/message/next_path.py` holds the links of the mails to these rules and some more.
function pathIn(value /*: string */) /*: string */ {
  try {
    const url = new URL(value, window.location.origin);
    const forms = [value, decodeURIComponent(value), url.pathname];
    const stays = forms.every((form) => /^\/(?!\/)[^\\\u0000-\u001f\u007f-\u009f]*$/.test(form));
    return stays && url.origin === window.location.origin ? value : "";
  } catch {
    return "";
  }
}

function linkIn(address /*: string */) /*: Link */ {
  const { searchParams, hash } = new URL(address);
  const fragment = new URLSearchParams(hash.slice(1));
  const hint = searchParams.get("hint") ?? "";
  const renew = searchParams.get("renew") ?? "";
  const ticket = searchParams.get(PARAMETER) ?? fragment.get(PARAMETER) ?? "";
  return {
    ticket,
    hint: HINT.test(hint) ? hint : "",
    next: pathIn(searchParams.get("next") ?? ""),
    renew: TAG.test(renew) ? renew : "",
  };
}

// The path to go on to stays: it is no secret, and a reload after the sign-in finds it.
function withoutLink(address /*: string */) /*: string */ {
  const url = new URL(address);
  url.searchParams.delete(PARAMETER);
  url.searchParams.delete("hint");
  if (TAG.test(url.searchParams.get("renew") ?? "")) {
    url.searchParams.delete("renew");
  }
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
    const { ticket, hint, next, renew } = JSON.parse(window.sessionStorage.getItem(HELD) ?? "{}");
    return {
      ticket: String(ticket ?? ""),
      hint: String(hint ?? ""),
      next: pathIn(String(next ?? "")),
      renew: TAG.test(String(renew ?? "")) ? String(renew) : "",
    };
  } catch {
    return { ticket: "", hint: "", next: "", renew: "" };
  }
}

function takeLink(replaceAddress /*: (address: string) => void */) /*: Link */ {
  const address = window.location.href;
  const link = linkIn(address);
  if (!link.ticket) {
    const kept = keptLink();
    return { ...kept, next: link.next || kept.next };
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
