"""Check a path that the landing page goes to after signing in: `next_path`. The page checks it again, by these rules.

The page's own check is `pathIn` in `templates/landing/arrival.js`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from campaign.errors import RowError
from campaign.message.filters import shown

#: Characters that a URL must percent-encode (RFC 3986 §2), apart from the backslash, which has a sentence of its own.
_REFUSED = re.compile(r'[ "<>^`{|}]')
_BROKEN_ENCODING = re.compile("%(?![0-9A-Fa-f]{2})")
#: C0, DEL and C1: browsers drop tabs and line breaks in an address (WHATWG URL §4.4), so that `/<tab>/host` is a host.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
#: Path parameters, brackets, and dot segments (RFC 3986 §3.3), also percent-encoded.
AMBIGUOUS = re.compile(r"[;\[\]]|(?:^|/)(?:\.|%2e){1,2}(?=/|\?|$)", re.IGNORECASE)


def next_path(path: str) -> str:
    """Return the path; it stays on the site that a browser is on, however it is decoded.

    Args:
        path: begins with `/`; may have a query and a fragment.

    Raises:
        RowError: the path could lead to another site, or browsers and servers read it in different ways.
    """
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError:
        decoded = None
    if decoded is None or _BROKEN_ENCODING.search(path):
        raise RowError(
            f"The path {shown(path)} has a % that encodes no character; write {{{{ column | urlencode }}}} for a value."
        )
    for form in (path, decoded):
        if _CONTROL.search(form) or "\\" in form or form.startswith("//"):
            raise RowError(
                f"The path {shown(path)} could lead to another site: browsers read `//`, a backslash and control "
                "characters as the start of a host; begin it with one /, and write {{ column | urlencode }} for a "
                "value."
            )
    if not path.isprintable() or _REFUSED.search(path):
        raise RowError(
            f"The path {shown(path)} contains spaces or other characters that a URL must percent-encode; write "
            "{{ column | urlencode }} for a value."
        )
    if AMBIGUOUS.search(path.partition("#")[0]):
        raise RowError(
            f"The path {shown(path)} holds `;`, a square bracket or a path segment of dots, which servers read in "
            "different ways; write it without."
        )
    return path
