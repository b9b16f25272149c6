"""Mails of a bounce mailbox as a dozen mail servers write them: `mail_named`, and what each of them means: `MEANS`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
#: Stands where a sender's bounce tag does.
TAG = "abcdefghijklmnopqrstuvwxyz23"


class Meaning(NamedTuple):
    """What a mail of the corpus reports."""

    kind: str
    status: str = ""
    recipient: str = "ada@example.com"


_NOTHING = ""
#: Every mail of the corpus, by its file's name.
MEANS = {
    "postfix-unknown-user": Meaning("hard", "5.1.1"),
    "postfix-mailbox-full": Meaning("soft", "5.2.2"),
    "postfix-delayed": Meaning("delayed", "4.4.1"),
    "postfix-delayed-unknown": Meaning("delayed", "5.1.1"),
    "postfix-expired": Meaning("soft", "4.4.1"),
    "postfix-no-such-domain": Meaning("soft", "5.4.4", "ada@gone.example"),
    "postfix-content-rejected": Meaning("rejected", "5.7.1"),
    "postfix-success": Meaning("delivered", "2.0.0"),
    "postfix-alias-half-dead": Meaning("delivered", "2.0.0", _NOTHING),
    "postfix-alias-all-dead": Meaning("hard", "5.1.1", _NOTHING),
    "postfix-sender-refused": Meaning("rejected", "5.1.8"),
    "postfix-content-conversion": Meaning("rejected", "5.6.7"),
    "exim-report": Meaning("hard", "5.1.1"),
    "exim-report-no-code": Meaning("soft", "5.0.0"),
    "exim-text": Meaning("hard", "5.1.1"),
    "exchange-online-unknown": Meaning("hard", "5.1.10"),
    "exchange-online-access-denied": Meaning("soft", "5.4.1"),
    "exchange-online-not-authenticated": Meaning("rejected", "5.7.515"),
    "exchange-2003": Meaning("soft"),
    "gmail-unknown": Meaning("hard", "5.1.1"),
    "gmail-over-quota": Meaning("soft", "5.2.2"),
    "gmail-disabled": Meaning("hard", "5.2.1"),
    "gmail-too-fast": Meaning("soft", "5.2.1"),
    "gmail-not-authenticated": Meaning("rejected", "5.7.26"),
    "qmail-unknown": Meaning("hard", "5.1.1"),
    "qmail-remote-refused": Meaning("rejected", "5.7.1"),
    "qmail-remote-no-code": Meaning("soft"),
    "sendmail-unknown": Meaning("hard", "5.1.1"),
    "sendmail-spam-called-unknown": Meaning("rejected", "5.1.1"),
    "sendmail-warning": Meaning("delayed", "4.4.2"),
    "ses-unknown": Meaning("hard", "5.1.1"),
    "yahoo-text": Meaning("soft", "", "ada@yahoo.example"),
    "yahoo-policy": Meaning("rejected", "5.7.9", "ada@yahoo.example"),
    "zimbra-unknown": Meaning("hard", "5.1.1"),
    "domino-unlisted": Meaning("hard", "5.1.1"),
    "postini-blocked": Meaning("soft", "5.0.0"),
    "ironport-unknown": Meaning("hard", "5.1.0"),
    "ironport-refused": Meaning("rejected", "5.7.1"),
    "too-large": Meaning("rejected", "5.3.4"),
    "international-address": Meaning("hard", "5.1.1", "ada@xn--bcher-kva.example"),
    "no-action-field": Meaning("delayed", "4.4.7"),
    "unknown-format": Meaning("not understood", "", _NOTHING),
    "aol-feedback": Meaning("complaint", "", _NOTHING),
    "yahoo-complaint": Meaning("complaint", "", "ada@yahoo.example"),
    "outlook-jmrp": Meaning("complaint", "", "ada@outlook.example"),
    "opt-out-feedback": Meaning("complaint", "", "ada@isp.example"),
    "not-spam-feedback": Meaning("notice", "", _NOTHING),
    "authentication-feedback": Meaning("notice", "", _NOTHING),
    "read-receipt": Meaning("notice", "", _NOTHING),
    "vacation-exchange": Meaning("auto-reply", "", _NOTHING),
    "vacation-plain": Meaning("auto-reply", "", _NOTHING),
    "vacation-unmarked": Meaning("not understood", "", _NOTHING),
    "vacation-german": Meaning("auto-reply", "", _NOTHING),
    "reply-of-a-person": Meaning("not a report", "", _NOTHING),
    "reply-with-a-bounce-attached": Meaning("not a report", "", _NOTHING),
    "advertisement": Meaning("not a report", "", _NOTHING),
}


def mail_named(name: str, tag: str = TAG) -> bytes:
    """Return a mail of the corpus, to or about the message with this tag."""
    text = (FOLDER / f"{name}.eml").read_text(encoding="utf-8")
    return text.replace("{TAG}", tag).replace("{TAG_UPPER}", tag.upper()).encode()
