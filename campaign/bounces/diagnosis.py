"""Read reply code, status code and safe words out of a server's diagnosis: `read_diagnosis`."""

from __future__ import annotations

import re
from typing import NamedTuple

from campaign.bounces.status import STATUS
from campaign.words import receipt

# RFC 3464 §2.3.6: the type, then the text. Sendmail writes `SMTP; 550 5.1.1 …`, Exchange `smtp;550 5.1.10 …`.
_TYPE = re.compile(r"\s*[A-Za-z0-9-]{1,20}\s*;\s*")
_CODE = re.compile(r"(?<![\w.#])([245]\d\d)(?=[\s\-]|\Z)")
_LINK = re.compile(r"\b(?:[a-z][a-z0-9+.-]{1,20}://|www\.)\S+", re.IGNORECASE)
# A bounce tag has 28 letters, an unsubscribe token 34, a sign-in token hundreds.
_TOKEN = re.compile(r"[A-Za-z0-9_=-]{28,}")
# qmail ends its own reasons with the status code, as in `(#5.1.1)`.
_QMAIL_CODE = re.compile(r"\s*\(#[245](?:\.\d{1,3}){2}\)")
#: Characters of a diagnosis that are looked at.
_MAX_DIAGNOSIS = 2000
_MAX_STATUSES = 5


class Diagnosis(NamedTuple):
    """What a server said about a failure."""

    #: The reply code (RFC 5321 §4.2); 0 if not given.
    code: int
    #: The status codes (RFC 3463), at most five: a relay may quote that of the next server behind its own.
    statuses: tuple[str, ...]
    #: At most 200 printable characters, without links and tokens.
    words: str


def read_diagnosis(text: str) -> Diagnosis:
    """Return the codes in a diagnosis, such as that of a Diagnostic-Code field (RFC 3464 §2.3.6), and its words."""
    text = text[:_MAX_DIAGNOSIS]
    if found := _TYPE.match(text):
        text = text[found.end() :]
    code = _CODE.search(text)
    statuses = tuple(dict.fromkeys(STATUS.findall(text)))[:_MAX_STATUSES]
    start = code.end() if code is not None and not code.start() else 0
    return Diagnosis(int(code[1]) if code else 0, statuses, safe_words(_QMAIL_CODE.sub("", text[start:].lstrip(" -"))))


def safe_words(text: str) -> str:
    """Return a server's words as one line of at most 200 printable characters, without links and tokens."""
    text = _LINK.sub("…", text[:_MAX_DIAGNOSIS])
    return receipt(0, _TOKEN.sub("…", text)).text
