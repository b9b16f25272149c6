"""Decide what a status code (RFC 3463) means for the recipient: `classify`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from campaign.bounces.report import Kind, mildest

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A status code on its own, with a subject of RFC 3463 §3: not part of an IP address or of a longer number.
STATUS = re.compile(r"(?<![\w.])([245]\.[0-7]\.\d{1,3})(?!\w|\.\d)")
# RFC 3463 §3.2: 5.1.7 and 5.1.8 are about the sender's address. §3.3: 5.2.3 is about the message's length.
# Microsoft's 5.1.20 is about the From header, its 5.1.90 the daily limit of the sender's account.
# §3.4 and §3.6: 5.3.4 the message's size, 5.5.x the dialogue between the servers.
_SENDERS = re.compile(r"5\.(?:1\.(?:[78]|20|90)|2\.3|3\.4|5\.[1-46]|[67]\.\d+)")
_HARD = re.compile(r"5\.(?:1\.\d+|2\.1)")
#: The server did not say which fault it was (RFC 3463 §3.1, §3.4), so another code of the report says more.
_UNDEFINED = re.compile(r"[45]\.[03]\.0")
# Sendmail and others write 5.1.1 for any 550 at RCPT, and Google 5.2.1 for a mailbox that gets mail too fast.
_SENDERS_WORDS = re.compile(
    r"\b(?:spam|black ?list(?:ed)?|block ?list(?:ed)?|dnsbl|spf|dkim|dmarc|reputation)\b", re.IGNORECASE
)
_WORDS_OF_A_RATE = re.compile(r"\b(?:at a rate|too (?:fast|quickly|many))\b|\brate.limit", re.IGNORECASE)


def classify(*statuses: str, words: str = "") -> Kind:
    """Return what status codes about the same failure mean; where they disagree, the mildest counts.

    `words` are the server's, which can soften what the code says, and never the reverse. Without a status code a
    failure is `SOFT`: nothing says that the address is to blame.
    """
    kind = mildest(*map(_kind, filter(_says_which, statuses)))
    if kind is Kind.HARD and _SENDERS_WORDS.search(words):
        return Kind.REJECTED
    if kind is Kind.HARD and _WORDS_OF_A_RATE.search(words):
        return Kind.SOFT
    return kind


def decisive(statuses: Sequence[str], kind: Kind) -> str:
    """Return the code that explains the kind: the first one that means it, or else the first; empty without any."""
    return next((one for one in statuses if _says_which(one) and _kind(one) is kind), next(iter(statuses), ""))


def _says_which(status: str) -> bool:
    """Return whether a status code says which fault it was."""
    return bool(status) and not _UNDEFINED.fullmatch(status)


def _kind(status: str) -> Kind:
    if _SENDERS.fullmatch(status):
        return Kind.REJECTED
    return Kind.HARD if _HARD.fullmatch(status) else Kind.SOFT
