"""Put a token into a URL: `LinkBuilder` makes the sign-in link, links behind it and links on other allowed hosts.

`renderer.py` checks that the link stands unchanged in the rendered message, `next_path.py` where the page goes on.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

from campaign.errors import RowError, TemplateError
from campaign.message.address_hint import address_hint
from campaign.message.filters import shown
from campaign.message.next_path import AMBIGUOUS, next_path
from campaign.message.template_errors import explained
from campaign.message.templates import compile_source, environment, parse, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: URL parsers treat these differently (RFC 3986 §2 does not allow them); some take a backslash as the end of the host.
_REFUSED = re.compile(r'[ "<>\\^`{|}]')
_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?=[/?#]|$)", re.IGNORECASE)
_PORTS = {"https": 443, "http": 80}
#: Characters that are not percent-encoded, because they have a meaning in a URL.
_SAFE_CHARACTERS = "%:/?#[]@!$&'()*+,;="
#: Distinct URLs of `link_to` whose check is cached.
_CACHE_SIZE = 1024
#: The query parameter with the masked address.
_HINT = "hint"
#: The query parameter with the path that the landing page goes to after signing in.
_NEXT = "next"
#: The query parameter with the tag by which the page asks for a new link.
_RENEW = "renew"
_NO_VARIABLES: Mapping[str, object] = {}


class _Target(NamedTuple):
    """A checked URL, in the parts between which path, token and hint are put."""

    #: Scheme, host, path and query.
    address: str
    #: What separates the query from a further parameter: `?`, `&` or nothing.
    joint: str
    #: With its `#`; or empty.
    fragment: str


class LinkBuilder:
    """Makes the links of one campaign.

    Args:
        source: `link.url`, a Jinja template; each variable in it is percent-encoded.
        parameter: the query parameter that carries the token; with a `#` before it, it stands in the fragment, which
            browsers send to no server (RFC 9110 §7.1).
        hosts: the hosts that may receive a token; if empty, the host of `source`.
        hint: whether the query also carries the recipient's masked address.
        renew: whether the query also carries the recipient's tag for a new link.
        where: the name of the source in error texts.

    Raises:
        TemplateError: the source is not a template, or has no variables and is not a URL that may carry a token.
    """

    def __init__(
        self,
        source: str,
        parameter: str,
        hosts: Sequence[str] = (),
        *,
        hint: bool = False,
        renew: bool = False,
        where: str = "link.url",
    ) -> None:
        self._where = where
        self._in_fragment = parameter.startswith("#")
        self._parameter = parameter.removeprefix("#")
        self._carrier = quote(self._parameter, safe="")
        self._hint = hint
        self._renew = renew
        env = environment(finalize=_encoded)
        #: The syntax tree of the source.
        self.tree = parse(env, source, where)
        self._template = compile_source(env, source, where)
        own = _ORIGIN.match(source)
        self._hosts = frozenset(host.lower() for host in hosts or ([_named(*own.groups())] if own else []))
        self._target = lru_cache(_CACHE_SIZE)(self._checked)
        try:
            self._fixed = None if "{" in source else self._located(source)
        except RowError as error:
            raise TemplateError(str(error)) from None  # the same for all rows

    def link(self, variables: Mapping[str, object], token: str, email: str = "", tag: str = "") -> str:
        """Return `link.url` for one recipient, with the token, the hint if there is an address, and the tag if given.

        Raises:
            TemplateError: a variable is undefined.
            RowError: the URL may not carry a token.
        """
        return self._filled(self._fixed or self._located(self._rendered(variables)), token, email, tag)

    def link_to(
        self,
        url: str,
        token: str,
        email: str = "",
        tag: str = "",
        *,
        variables: Mapping[str, object] = _NO_VARIABLES,
    ) -> str:
        """Return a link to another place, with the same as `link` has.

        A path (`/cart?answer=4`) is a place of the same site: the link is `link.url`, with the path in `next`. A URL
        on an allowed host is a page that takes the token itself.

        Args:
            url: the path or the URL.
            token: the token.
            email: the recipient's address; empty for no hint.
            tag: the recipient's tag for a new link; empty for none.
            variables: those of `link.url`, for a path.

        Raises:
            TemplateError: a variable of `link.url` is undefined.
            RowError: the URL may not carry a token, or the path could leave the site; the text never contains the
                token.
        """
        place = str(url)
        if not place.startswith("/"):
            return self._filled(self._target(place), token, email, tag)
        path = next_path(place)
        return self._filled(self._fixed or self._located(self._rendered(variables)), token, email, tag, path)

    def check_place(self, url: str) -> None:
        """Check a place of `link_to` that is the same for all recipients.

        Raises:
            RowError: see `link_to`.
        """
        if url.startswith("/"):
            next_path(url)
        else:
            self._target(url)

    def _filled(self, target: _Target, token: str, email: str, tag: str, path: str = "") -> str:
        carried = f"{self._carrier}={quote(token, safe='')}"
        # The path stands before the token: so no link is the beginning of another one.
        query = [f"{_NEXT}={quote(path, safe='')}"] if path else []
        if not self._in_fragment:
            query.append(carried)
        if self._hint and email:
            query.append(f"{_HINT}={quote(address_hint(email), safe='')}")
        if self._renew and tag:
            query.append(f"{_RENEW}={quote(tag, safe='')}")
        address = target.address + target.joint + "&".join(query) if query else target.address
        return f"{address}#{carried}" if self._in_fragment else address + target.fragment

    def _rendered(self, variables: Mapping[str, object]) -> str:
        try:
            return render(self._template, {**self._template.globals, **variables})
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            raise explained(error, variables, self._where) from None

    def _located(self, url: str) -> _Target:
        try:
            target = self._checked(url)
        except RowError as error:
            raise RowError(f"{self._where}: {error}") from None
        if _NEXT in _query_of(target.address):
            raise RowError(
                f"{self._where}: The link {shown(url)} already has a parameter {_NEXT}, where link_to puts its path; "
                "remove it."
            )
        return target

    def _checked(self, url: str) -> _Target:
        """Return the parts of the URL around the token; refuse what URL parsers treat differently."""
        if not url.isprintable() or _REFUSED.search(url):
            raise RowError(
                f"The link {shown(url)} contains spaces, control characters, backslashes or other characters "
                "that a URL must percent-encode."
            )
        origin = _ORIGIN.match(url)
        if origin is None:
            raise RowError(
                f"The link {shown(url)} does not begin with https:// and a plain host name, and is no path that begins "
                "with /; only such links may contain a token."
            )
        scheme, host, port = origin.groups()
        self._check_host(url, scheme.lower(), host.lower(), port)
        address, mark, fragment = url.partition("#")
        if AMBIGUOUS.search(address[origin.end() :]):
            raise RowError(
                f"The link {shown(url)} holds `;`, a square bracket or a path segment of dots, which servers read in "
                "different ways; write it without."
            )
        if self._in_fragment and mark:
            raise RowError(
                f"The link {shown(url)} already has a fragment, and the token goes there; remove it, or write "
                f'parameter = "{self._parameter}" without the #.'
            )
        ours = [] if self._in_fragment else [self._parameter]
        ours += [name for name, used in ((_HINT, self._hint), (_RENEW, self._renew)) if used]
        query = _query_of(address)
        if taken := next((name for name in ours if name in query), None):
            raise RowError(f"The link {shown(url)} already has a parameter {taken}; remove it.")
        path = address[origin.end() :]
        if not path.startswith("/"):
            path = f"/{path}"
        joint = "?" if "?" not in path else "" if path.endswith(("?", "&")) else "&"
        return _Target(
            origin[0] + quote(path, safe=_SAFE_CHARACTERS), joint, mark + quote(fragment, safe=_SAFE_CHARACTERS)
        )

    def _check_host(self, url: str, scheme: str, host: str, port: str | None) -> None:
        named = _named(scheme, host, port)
        if named not in self._hosts:
            raise RowError(
                f"The link {shown(url)} leads to {shown(named)}, which is not one of the hosts that may get a "
                f"token ({', '.join(sorted(self._hosts)) or 'none'}); add it to link.hosts if it is yours."
            )
        if scheme != "https" and not _is_loopback(host):
            raise RowError(f"The link {shown(url)} must begin with https://, because it contains a token.")
        if port is not None and not 0 < int(port) < 1 << 16:
            raise RowError(f"The link {shown(url)} has an invalid port; correct it.")


def _named(scheme: str, host: str, port: str | None) -> str:
    """Return a host as `link.hosts` names it: with its port, unless that is the scheme's own."""
    return host if port is None or int(port) == _PORTS[scheme.lower()] else f"{host}:{int(port)}"


def _query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))


def _encoded(value: object) -> str:
    return quote(str(value), safe="", errors="replace")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
