"""Put a token into a URL: `LinkBuilder` makes the sign-in link and other links on allowed hosts.

`renderer.py` checks that the link stands unchanged in the rendered message.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

from campaign.errors import RowError, TemplateError
from campaign.message.filters import shown
from campaign.message.template_errors import explained
from campaign.message.templates import compile_source, environment, parse, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: URL parsers treat these differently (RFC 3986 §2 does not allow them); some take a backslash as the end of the host.
_REFUSED = re.compile(r'[ "<>\\^`{|}]')
_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?=[/?#]|$)", re.IGNORECASE)
_PORTS = {"https": 443, "http": 80}
#: Path parameters, brackets, and dot segments (RFC 3986 §3.3), also percent-encoded.
_AMBIGUOUS = re.compile(r"[;\[\]]|(?:^|/)(?:\.|%2e){1,2}(?=/|\?|$)", re.IGNORECASE)
#: Characters that are not percent-encoded, because they have a meaning in a URL.
_SAFE_CHARACTERS = "%:/?#[]@!$&'()*+,;="
#: Distinct URLs of `link_to` whose check is cached.
_CACHE_SIZE = 1024


class LinkBuilder:
    """Makes the links of one campaign.

    Args:
        source: `link.url`, a Jinja template; each variable in it is percent-encoded.
        parameter: the query parameter that carries the token.
        hosts: the hosts that may receive a token; if empty, the host of `source`.
        where: the name of the source in error texts.

    Raises:
        TemplateError: the source is not a template, or has no variables and is not a URL that may carry a token.
    """

    def __init__(self, source: str, parameter: str, hosts: Sequence[str] = (), *, where: str = "link.url") -> None:
        self._where = where
        self._parameter = parameter
        env = environment(finalize=_encoded)
        #: The syntax tree of the source.
        self.tree = parse(env, source, where)
        self._template = compile_source(env, source, where)
        own = _ORIGIN.match(source)
        self._hosts = frozenset(host.lower() for host in hosts or ([_named(*own.groups())] if own else []))
        self._ends = lru_cache(_CACHE_SIZE)(self._checked)
        try:
            self._fixed = None if "{" in source else self._located(source)
        except RowError as error:
            raise TemplateError(str(error)) from None  # the same for all rows

    def link(self, variables: Mapping[str, object], token: str) -> str:
        """Return `link.url` for one recipient, with the token.

        Raises:
            TemplateError: a variable is undefined.
            RowError: the URL may not carry a token.
        """
        before, after = self._fixed or self._located(self._rendered(variables))
        return f"{before}{quote(token, safe='')}{after}"

    def link_to(self, url: str, token: str) -> str:
        """Return another URL on an allowed host, with the token.

        Raises:
            RowError: the URL may not carry a token; the text never contains the token.
        """
        before, after = self._ends(str(url))
        return f"{before}{quote(token, safe='')}{after}"

    def _rendered(self, variables: Mapping[str, object]) -> str:
        try:
            return render(self._template, {**self._template.globals, **variables})
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            raise explained(error, variables, self._where) from None

    def _located(self, url: str) -> tuple[str, str]:
        try:
            return self._checked(url)
        except RowError as error:
            raise RowError(f"{self._where}: {error}") from None

    def _checked(self, url: str) -> tuple[str, str]:
        """Return the parts of the URL before and after the token; refuse what URL parsers treat differently."""
        if not url.isprintable() or _REFUSED.search(url):
            raise RowError(
                f"The link {shown(url)} contains spaces, control characters, backslashes or other characters "
                "that a URL must percent-encode."
            )
        origin = _ORIGIN.match(url)
        if origin is None:
            raise RowError(
                f"The link {shown(url)} does not begin with https:// and a plain host name; only such a link "
                "may contain a token."
            )
        scheme, host, port = origin.groups()
        self._check_host(url, scheme.lower(), host.lower(), port)
        address, mark, fragment = url.partition("#")
        if _AMBIGUOUS.search(address[origin.end() :]):
            raise RowError(
                f"The link {shown(url)} holds `;`, a square bracket or a path segment of dots, which servers read in "
                "different ways; write it without."
            )
        if self._parameter in dict(parse_qsl(urlsplit(address).query, keep_blank_values=True)):
            raise RowError(f"The link {shown(url)} already has a parameter {self._parameter}; remove it.")
        path = address[origin.end() :]
        if not path.startswith("/"):
            path = f"/{path}"
        joint = "?" if "?" not in path else "" if path.endswith(("?", "&")) else "&"
        before = origin[0] + quote(path, safe=_SAFE_CHARACTERS) + joint
        return f"{before}{quote(self._parameter, safe='')}=", mark + quote(fragment, safe=_SAFE_CHARACTERS)

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


def _encoded(value: object) -> str:
    return quote(str(value), safe="", errors="replace")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
