"""Count what a bounce mailbox contained: `Counts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.bounces.report import Kind

if TYPE_CHECKING:
    from campaign.bounces.report import Report

#: Kinds of mail for which nothing is changed in the send log.
_NO_ACTION = frozenset({Kind.DELAYED, Kind.DELIVERED, Kind.NOTICE, Kind.AUTO_REPLY, Kind.NOT_A_REPORT})


@dataclass
class Counts:
    """The mails of a bounce mailbox; each is counted once, so the sum is their number."""

    bounced: int = 0
    soft: int = 0
    rejected: int = 0
    complaints: int = 0
    not_ours: int = 0
    forged: int = 0
    not_understood: int = 0
    no_action: int = 0
    repeated: int = 0
    early: int = 0

    def add(self, report: Report, *, is_ours: bool) -> None:
        """Count a report; `is_ours` says that one of its tags is true."""
        if report.kind is Kind.NOT_UNDERSTOOD:
            self.not_understood += 1
        elif report.kind in _NO_ACTION:
            self.no_action += 1
        elif not is_ours and report.tags:
            self.forged += 1
        elif not is_ours:
            self.not_ours += 1
        elif report.kind is Kind.HARD:
            self.bounced += 1
        elif report.kind is Kind.SOFT:
            self.soft += 1
        elif report.kind is Kind.REJECTED:
            self.rejected += 1
        else:
            self.complaints += 1

    def add_repeated(self) -> None:
        """Count a report that was read before."""
        self.repeated += 1

    def add_early(self) -> None:
        """Count a report about a message whose sending is not settled yet; it is to be read again."""
        self.early += 1

    @property
    def needs_a_look(self) -> bool:
        """Whether a person should look at the mailbox: something was forged or not understood."""
        return bool(self.forged or self.not_understood)

    def rows(self) -> list[tuple[str, int, str]]:
        """Return name, number and meaning of each count, in the order in which a table shows them."""
        return [
            ("bounced", self.bounced, "the address does not exist or is disabled; suppressed for all lists"),
            ("soft", self.soft, "returned for now: mailbox full, or the server could not be reached"),
            ("rejected", self.rejected, "refused because of the sender or the message; no address is suppressed"),
            ("complaints", self.complaints, "marked as spam; suppressed for all lists"),
            ("not ours", self.not_ours, "about a message without a tag of this send log"),
            ("forged", self.forged, "the tag is not one of this send log"),
            ("not understood", self.not_understood, "sent by a mail server, in a format that is not known"),
            ("no action", self.no_action, "delays, deliveries, automatic replies, and mail that is no report"),
            (
                "not settled",
                self.early,
                "no run has settled the message yet; after one, read this again",
            ),
            ("read before", self.repeated, "an earlier call has seen to it"),
        ]
