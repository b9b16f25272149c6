"""Remove personal data from reply texts and error texts, so that equal texts can be counted together: `masked`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaign.sendlog import Whose

_ADDRESS = re.compile(r"""[^\s<>"'(),;:\[\]]+@[^\s<>"'(),;:\[\]]+""")
#: Clerk's ids; `user_id`, a parameter's name, does not match.
_ID = re.compile(r"\b(?:user|sit|sess|client|org|orgmem|idn|inv|ins|wle)_(?=\w*[\dA-Z])[\w+.-]+")
#: Parts that differ each time: queue ids, session ids, long numbers.
_SERIAL = re.compile(r"(?<![\w.-])(?:(?=[\w-]*\d[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{8,}|\d{5,})(?![\w.-])")
_LINE = re.compile(r"\bline \d+\b(?:: )?", re.IGNORECASE)
#: Shorter values are not masked: they occur in too many words by chance.
_MIN_VALUE_CHARS = 3


def masked(words: str, whose: Whose) -> str:
    """Return the text with `[address]`, `[name]` and `[id]` in place of addresses, local parts, keys and ids.

    Args:
        words: the text of a server's reply, or of this program's reason.
        whose: the row that the text is about; its own values are found in upper and lower case.
    """
    small = words.lower()
    local = whose.email.rpartition("@")[0] or whose.email
    for value, mark in ((whose.email, "[address]"), (whose.user_id, "[id]"), (whose.key, "[id]"), (local, "[name]")):
        if value and len(value) >= _MIN_VALUE_CHARS and value.lower() in small:
            words = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", mark, words, flags=re.IGNORECASE)
    if "@" in words:
        words = _ADDRESS.sub("[address]", words)
    if "_" in words:
        words = _ID.sub("[id]", words)
    return _LINE.sub(lambda found: "" if found[0].endswith(": ") else "another line", _SERIAL.sub("[…]", words))
