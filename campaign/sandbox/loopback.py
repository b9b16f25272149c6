"""Recognise addresses of this machine as browsers read them: `is_own_host`, `is_own_page`, `OWN_ORIGIN`.

The match is exact: a URL that a browser and a URL library read in different ways (a backslash, a user name) is foreign.
"""

from __future__ import annotations

import re

#: Names under `localhost` never leave the machine (RFC 6761 §6.3).
_HOST = r"(?:127\.0\.0\.1|\[::1\]|(?:[a-z0-9_-]{1,63}\.){0,8}localhost)(?::[0-9]{1,5})?"
#: The origin of a page on this machine, on any port, as a regular expression.
OWN_ORIGIN = rf"https?://{_HOST}"
_OWN_HOST = re.compile(_HOST, re.IGNORECASE)
#: Printable ASCII behind the origin; browsers drop tabs and line breaks from a URL (WHATWG URL §4.4).
_OWN_PAGE = re.compile(rf"{OWN_ORIGIN}(?:[/?#][!-\[\]-~]*)?", re.IGNORECASE)


def is_own_host(host: str) -> bool:
    """Return whether a `Host` header names this machine."""
    return _OWN_HOST.fullmatch(host) is not None


def is_own_page(url: str) -> bool:
    """Return whether a URL leads to a page of this machine."""
    return _OWN_PAGE.fullmatch(url) is not None
