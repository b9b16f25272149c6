"""Record what came back, beside a run: `ReturnedMail` marks rows `bounced`, suppresses addresses and revokes tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from campaign.sendlog.shared_log import SharedLog
from campaign.sendlog.suppressions import ALL_LISTS
from campaign.tags import GENERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from campaign.model import Receipt
    from campaign.sendlog.database import LogConnection

#: After soft bounces in this many campaigns in a row, an address is suppressed for all lists.
_SOFT_CAMPAIGNS = 3
#: How the history explains a complaint, and the first words of what it says of a soft bounce.
MARKED_AS_SPAM, FOR_NOW = "marked as spam", "returned for now"


@dataclass(frozen=True, slots=True)
class ReturnedMessage:
    """The message that a report is about, as its tag proves."""

    row: int
    #: The recipient's address, as in the CSV.
    email: str
    key: str
    state: str
    campaign: str
    campaign_id: int
    #: The tag is that of the row's last message; an earlier one has a token that was revoked.
    is_last: bool


class ReturnedMail(SharedLog):
    """Acts on reports of returned mail and on complaints: each report once, and only for a true tag."""

    def is_known(self, report: str) -> bool:
        """Return whether a report was acted upon before."""
        with self._reading():
            return self._connection.execute(self._sql.has_report, {"id": report}).fetchone() is not None

    def message_of(self, tags: Iterable[str]) -> ReturnedMessage | None:
        """Return the message that the first true tag names, or None if none is true."""
        for tag in tags:
            opened = self._tags.open_bounce_tag(tag)
            if opened and (found := self._row(opened[0])):
                email, key, state, generation, campaign, campaign_id = found
                is_last = generation % GENERATIONS == opened[1]
                return ReturnedMessage(opened[0], email, key, state, campaign, campaign_id, is_last)
        return None

    def bounced(self, report: str, message: ReturnedMessage, why: str, words: Receipt, *, suppress: bool) -> None:
        """Record that a message came back for good: its row is `bounced` and its token is revoked.

        Args:
            report: the report's id.
            message: the message.
            why: the row's reason.
            words: what the report says.
            suppress: the address gets no mail of any list from now on.
        """
        arguments = self._arguments(message, why, words)
        with self._transaction() as connection:
            connection.execute(self._sql.note_report, arguments | {"id": report})
            if not message.is_last or not connection.execute(self._sql.bounce, arguments).rowcount:
                connection.execute(self._sql.note_in_history, arguments)
            if message.is_last:
                connection.execute(self._sql.revoke_row, arguments)
            if suppress:
                self._suppress(connection, message, "bounced")

    def complained(self, report: str, message: ReturnedMessage, words: Receipt) -> None:
        """Record a complaint: the address gets no mail of any list, and the message's token is revoked."""
        arguments = self._arguments(message, MARKED_AS_SPAM, words)
        with self._transaction() as connection:
            connection.execute(self._sql.note_report, arguments | {"id": report})
            connection.execute(self._sql.note_in_history, arguments)
            if message.is_last:
                connection.execute(self._sql.revoke_row, arguments)
            self._suppress(connection, message, "complaint")

    def came_back_for_now(self, report: str, message: ReturnedMessage, words: Receipt) -> None:
        """Record a soft bounce: a line in the history; after three campaigns in a row the address is suppressed."""
        arguments = self._arguments(message, f"{FOR_NOW}: {words}", words)
        address = {"address": message.email.lower(), "campaign": message.campaign_id}
        with self._transaction() as connection:
            connection.execute(self._sql.note_report, arguments | {"id": report})
            connection.execute(self._sql.note_in_history, arguments)
            connection.execute(self._sql.note_soft_bounce, address)
            if (
                _number(connection, self._sql.count_soft_bounces, address) >= _SOFT_CAMPAIGNS
                and _number(connection, self._sql.last_mails_that_came_back, address) >= _SOFT_CAMPAIGNS
            ):
                self._suppress(connection, message, f"returned in {_SOFT_CAMPAIGNS} campaigns in a row")

    def _row(self, number: int) -> Any:  # noqa: ANN401 - the columns of the statement, or None
        with self._reading():
            return self._connection.execute(self._sql.row_of_report, {"row": number}).fetchone()

    def _suppress(self, connection: LogConnection, message: ReturnedMessage, reason: str) -> None:
        common = {"list": ALL_LISTS, "reason": reason, "now": self._clock.now()}
        named = {"address": message.email.lower(), "campaign": message.campaign, "key": message.key}
        connection.execute(self._sql.suppress, common | named)

    def _arguments(self, message: ReturnedMessage, why: str, words: Receipt) -> dict[str, object]:
        return {
            "row": message.row,
            "now": self._clock.now(),
            "reason": why,
            "code": words.code or None,
            "enhanced": words.enhanced or None,
            "reply": words.text or None,
        }


def _number(connection: LogConnection, statement: str, arguments: dict[str, object]) -> int:
    return int(connection.execute(statement, arguments).fetchone()[0])
