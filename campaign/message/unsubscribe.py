"""Make the unsubscribe link of each recipient and the headers that announce it: `UnsubscribeLink`.

RFC 2369 §3.2 defines List-Unsubscribe, and RFC 8058 the one click: a mail program POSTs to the link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from campaign.config.definition import Definition


@dataclass(frozen=True, slots=True)
class UnsubscribeLink:
    """The link's address without its token, and the mailbox that takes a no, too.

    The token is in every header and link, so a mail to the mailbox names its recipient by its subject.
    """

    #: The address of `campaign serve`; `/TOKEN` is added.
    url: str
    mailto: str | None = None

    @classmethod
    def of(cls, definition: Definition) -> UnsubscribeLink | None:
        """Return the link of a campaign, or None if its mails have none."""
        section = definition.unsubscribe
        return None if section is None or section.url is None else cls(section.url, section.mailto)

    def to(self, token: str) -> str:
        """Return the link with a recipient's token."""
        return f"{self.url}/{token}"

    def headers(self, token: str) -> bytes:
        """Return both header fields, each on one line (some relays fold a long one and break the signature)."""
        targets = [f"<{self.to(token)}>"]
        if self.mailto:
            targets.append(f"<mailto:{quote(self.mailto, safe='@+')}?subject=unsubscribe%20{token}>")
        return (
            f"List-Unsubscribe: {', '.join(targets)}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        ).encode("ascii")


def feedback_id(definition: Definition, sender: str) -> str:
    """Return the Feedback-ID, by which Gmail's Postmaster Tools count complaints: campaign, list, kind and sender.

    The sender's part must have 5 to 15 characters and stay the same
    (https://support.google.com/a/answer/6254652).
    """
    name = sender.rpartition("@")[2].replace(".", "-")[:15].strip("-")
    return f"{_label(definition.name)}:{_label(definition.mailing_list)}:campaign:{name.ljust(5, 'x')}"


def _label(text: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text)[:64] or "-"
