"""Read from a permanent refusal whom it concerns, and until when: `subject_of`, `refuses_address`.

The codes and words are those that Amazon SES, Brevo, Gmail, Mailgun, Mailjet, Microsoft 365, Postmark and SendGrid
document; the tests hold them in a table.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

from campaign.bounces.report import Kind
from campaign.bounces.status import classify

if TYPE_CHECKING:
    from campaign.model import Receipt


class Subject(Enum):
    """Whom a permanent refusal concerns."""

    #: One mailbox: it does not exist, is disabled or is full. Many of them in a row say nothing about the sender.
    MAILBOX = auto()
    #: A quota of the sender's account. No recipient and no domain has to do with it.
    QUOTA = auto()
    #: The sender: its address, account, authentication or reputation; perhaps in the eyes of one domain only.
    SENDER = auto()
    #: It does not say.
    OTHER = auto()


#: RFC 3463 §3.2 and §3.3, and Microsoft's 5.1.10: the mailbox's address or state.
_MAILBOX_CODES = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.2.1", "5.2.2", "5.4.4"})
_MAILBOX = re.compile(
    r"no such (?:user|mailbox|recipient|address|person|account)"
    r"|(?:unknown|invalid|inactive|non-?existent|bad) (?:user|mailbox|recipient|address|account)"
    r"|\b(?:user|mailbox|recipient|address|account)\b[^.;]{0,40}\b(?:not found|unknown|disabled|inactive|invalid"
    r"|no longer|not (?:a )?valid|not listed|unavailable|full|rejected: access denied)"
    r"|does(?: not|n't) exist|over ?quota|marked as inactive|suppression list",
    re.IGNORECASE,
)
#: Gmail's 5.4.5 and Microsoft's 5.1.90: the daily limit of an account.
_QUOTA_CODES = frozenset({"5.4.5", "5.1.90"})
_LIMIT = r"(?:limits?|quotas?|credits?)\b"
_QUOTA = re.compile(
    rf"\b(?:daily|hourly|monthly|sending|relay|plan|messages?|emails?)\b(?: \S+){{0,4}}? {_LIMIT}"
    rf"|\b{_LIMIT}(?: \S+){{0,5}}? (?:daily|per day|per hour|per month|sending|to send|messages|emails)\b"
    r"|maximum credits",
    re.IGNORECASE,
)
#: The limit of a mailbox or of a message is none of the account.
_OTHER_LIMIT = re.compile(r"\b(?:mailbox|inbox|storage|size|too large|too big)\b", re.IGNORECASE)
#: RFC 3463 §3.2: the sender's address. Microsoft's 5.2.25x: an account that is throttled for its own errors.
_SENDER_CODES = frozenset({"5.1.7", "5.1.8", "5.2.251", "5.2.252", "5.2.253", "5.2.254", "5.2.255"})
_SENDER = re.compile(
    r"\bsender|\bfrom['\"]? (?:address|field|header)|\bidentit(?:y|ies)\b|send ?as|sending paused|not verified"
    r"|\bnot (?:\S+ )?(?:allowed|authori[sz]ed|permitted) to (?:send|perform)|pending approval|not (?:yet )?activated"
    r"|\byour (?:\S+ )?(?:account|domain|server|ip)\b"
    r"|unusual rate|rate limit|too many|reputation|policy|block(?:ed| ?list)|blacklist|spam|unsolicited"
    r"|not authenticated|unauthenticated",
    re.IGNORECASE,
)
#: What a quota's words say of its period, and when to go on.
_PERIODS = (
    (re.compile(r"hour", re.IGNORECASE), "The limit is hourly: run the same command again in an hour"),
    (
        re.compile(r"month|\bplan\b|credit", re.IGNORECASE),
        "Run the same command again when the provider has renewed or raised the limit",
    ),
    (re.compile(r""), "The limit is daily: run the same command again in 24 hours"),
)
#: The first words decide whether two refusals are the same; ids and advice for people stand behind them.
_WORDS_COMPARED = 10


def subject_of(reply: Receipt) -> Subject:
    """Return whom a permanent refusal (5yz) of the mail server concerns."""
    if reply.enhanced in _MAILBOX_CODES:
        return Subject.MAILBOX
    if reply.enhanced in _QUOTA_CODES or (_QUOTA.search(reply.text) and not _OTHER_LIMIT.search(reply.text)):
        return Subject.QUOTA
    if reply.enhanced in _SENDER_CODES:
        return Subject.SENDER
    if _MAILBOX.search(reply.text) and not _SENDER.search(reply.text):
        return Subject.MAILBOX
    # RFC 3463 §3.8: X.7.X is security or policy
    return Subject.SENDER if reply.enhanced.startswith("5.7.") or _SENDER.search(reply.text) else Subject.OTHER


def refuses_address(reply: Receipt) -> bool:
    """Return whether a refusal of RCPT says that the address does not exist or is disabled (5.1.x, 5.2.1).

    The rule is that of a returned mail. Where codes or words are about the sender or a quota, it is not the address.
    """
    hard = classify(reply.enhanced, words=reply.text) is Kind.HARD
    return hard and subject_of(reply) not in {Subject.QUOTA, Subject.SENDER}


def same_words(reply: Receipt) -> str:
    """Return what two refusals for the same reason have in common: their codes and first words.

    Words with a digit, an `@`, a dot or a slash in them are left out: addresses, hosts, ids, URLs, numbers.
    """
    words = [word.strip(".,:;!?()<>[]{}'\"`-").lower() for word in reply.text.split()]
    plain = [word for word in words if word.replace("-", "").replace("'", "").isalpha()]
    return " ".join([str(reply.code), reply.enhanced, *plain[:_WORDS_COMPARED]])


def when_to_go_on(reply: Receipt) -> str:
    """Return a sentence, without its full stop, that says when a quota lets the run go on."""
    return next(sentence for words, sentence in _PERIODS if words.search(reply.text))
