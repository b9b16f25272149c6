"""Check the keys of `[link]`: `link_host`, `link_parameter`.

An error text continues a sentence that begins with the key.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from campaign.config.definition.rules import host
from campaign.config.server_url import is_loopback

_TEMPLATE_PART = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_PARAMETER = re.compile(r"[A-Za-z0-9._~-]{1,64}")
#: The query parameter with the recipient's masked address.
_HINT = "hint"
#: The query parameter with the path that `link_to` leads to.
_NEXT = "next"
#: The query parameter with the tag by which a person asks for a new link.
_RENEW = "renew"
#: Replaces a template part while a URL is checked: it is legal in a host, so that the URL can still be split.
_HOLE = "zz-template-zz"


def link_host(url: str) -> str:
    """Return the host of a link (`name` or `name:port`); its path and query may contain template variables.

    Raises:
        ValueError: the link is not an absolute https:// URL, or scheme or host contain a variable.
    """
    example = 'write one like "https://acme.example/welcome"'
    masked = _TEMPLATE_PART.sub(_HOLE, url)
    if not masked.isprintable() or set(masked) & set(' \\"<>'):
        raise ValueError(f"contains a character that is not allowed in a URL; {example}")
    scheme, separator, rest = masked.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if _HOLE in scheme or _HOLE in authority or re.search(r"[{}]", scheme + authority):
        raise ValueError(f"can contain variables only in its path and query, not in the host; {example}")
    if not separator or scheme.lower() not in {"https", "http"} or "@" in authority:
        raise ValueError(f"must be an absolute https:// URL; {example}")
    named = host(authority)
    if scheme.lower() == "http" and not is_loopback(urlsplit(f"//{named}").hostname or ""):
        raise ValueError(f"would send the sign-in token unencrypted over http://; {example}")
    return named


def link_parameter(parameter: str, url: str | None = None, *, hint: bool = False, renew: bool = False) -> str:
    """Return the parameter that carries the token, in the query of `url` or, with a `#` before it, in its fragment.

    Raises:
        ValueError: the name needs escaping, or the URL has no place for it.
    """
    name = parameter.removeprefix("#")
    if not _PARAMETER.fullmatch(name):
        raise ValueError(
            'must be letters, digits, ".", "_", "~" or "-", such as "token", or "#token" for the part that browsers '
            "send to no server"
        )
    if name == _NEXT:
        raise ValueError(f'"{_NEXT}" carries the path of link_to; choose another name, such as "token"')
    if hint and name == _HINT:
        raise ValueError(f'"{_HINT}" carries the masked address; choose another name, or write hint = false')
    if renew and name == _RENEW:
        raise ValueError(f'"{_RENEW}" carries the tag for a new link; choose another name, such as "token"')
    if name != parameter:
        if "#" in _TEMPLATE_PART.sub(_HOLE, url or ""):
            raise ValueError(f'puts the token behind the # of url, where something stands; remove it or write "{name}"')
        return parameter
    if name in _query_names(url):
        raise ValueError(f'"{name}" is already in the query of url; remove it there, or choose another name')
    return parameter


def refuse_next(url: str) -> None:
    """Refuse a link whose query has the parameter that carries the path of `link_to`.

    Raises:
        ValueError: it has.
    """
    if _NEXT in _query_names(url):
        raise ValueError(
            f'has "{_NEXT}" in its query, where link_to puts its path; remove it, and write '
            '{{ link_to("/cart") }} in the templates'
        )


def link_hint(*, hint: bool, url: str | None) -> bool:
    """Return whether links carry the recipient's masked address.

    Raises:
        ValueError: the URL already has the parameter that would carry it.
    """
    if hint and _HINT in _query_names(url):
        raise ValueError(f'"{_HINT}" is already in the query of url; rename it there, or write hint = false')
    return hint


def link_renew(*, renew: bool, url: str | None) -> bool:
    """Return whether links carry the tag by which their recipient asks for a new link.

    Raises:
        ValueError: the URL already has the parameter that would carry it.
    """
    if renew and _RENEW in _query_names(url):
        raise ValueError(f'"{_RENEW}" is already in the query of url, where renew puts its tag; rename it there')
    return renew


def _query_names(url: str | None) -> set[str]:
    query = urlsplit(_TEMPLATE_PART.sub(_HOLE, url or "")).query
    return {name for name, _ in parse_qsl(query, keep_blank_values=True)}
