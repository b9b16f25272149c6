"""Queue a sent row again because its reader asked for a new link, beside a run: `Renewals.renew`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from campaign.model import NEVER, Status
from campaign.sendlog.shared_log import SharedLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from campaign.sendlog.database import LogConnection

#: How many new links one address gets, of all campaigns of the log.
MAX_RENEWALS = 3
#: The least time between two of them (seconds).
RENEWAL_INTERVAL_S = 600.0
#: A row that becomes due now is due a moment later: a run that reads the queue meanwhile may have passed over the
#: present (seconds).
_AFTER_CURSORS_S = 1.0


class LastMail(NamedTuple):
    """The last mail that the recipient of a tag got, or may have got, from the campaign."""

    #: The row's id.
    row: int
    campaign: str
    #: The path of the campaign file of the last run; empty before the first one.
    file: str
    #: The step's name; empty in a campaign without `[[steps]]`.
    step: str
    #: The row's variables.
    variables: Mapping[str, Any]
    #: When each earlier step was sent (seconds since the epoch), by its name.
    sent: Mapping[str, float]
    #: The CSV and the row's line in it.
    source: str
    line: int


class Renewals(SharedLog):
    """The requests for new links, answered beside a run; the log is created if it does not exist."""

    def knows(self, tag: str) -> bool:
        """Return whether this log signed a renewal tag."""
        return self._tags.open_renewal_tag(tag) is not None

    def renew(self, tag: str, permits: Callable[[LastMail, float], bool]) -> LastMail | None:
        """Queue the last mail of a tag's recipient again, with the revocation of its link, in one transaction.

        It must be `sent`, not by a link that an operator has revoked (`campaign revoke`), and not the fourth of its
        address or within ten minutes of another. A later step that was
        not sent yet then counts from the new mail. What is not granted changes nothing but a count, and takes as
        long: each request is one write to the disk.

        Args:
            tag: of a sign-in link; it may be forged.
            permits: whether the campaign sends this mail again, now (seconds since the epoch).

        Returns:
            The mail, or None if it is not sent again.
        """
        with self._transaction() as connection:
            now = self._clock.now()
            row = self._tags.open_renewal_tag(tag)
            found = connection.execute(self._sql.last_mail, {"row": row or 0}).fetchone()
            mail = None if found is None else self._granted(connection, found, now, permits)
            if mail is None:
                connection.execute(self._sql.count_forged if row is None else self._sql.count_declined)
        return mail

    @property
    def declined(self) -> int:
        """How many requests with a true tag were not granted."""
        return self._count(self._sql.declined)

    @property
    def forged(self) -> int:
        """How many unsubscribe links and requests for a new link had a false tag."""
        return self._count(self._sql.forged)

    def _count(self, statement: str) -> int:
        with self._reading():
            return int(self._connection.execute(statement).fetchone()[0] or 0)

    def _granted(
        self,
        connection: LogConnection,
        found: tuple[Any, ...],
        now: float,
        permits: Callable[[LastMail, float], bool],
    ) -> LastMail | None:
        """Queue a mail again if it may be; return it, or None."""
        row, state, email, name, campaign, file, key, step, step_number, variables, source, line, is_ended = found
        arguments = {"row": row, "campaign": campaign, "key": key, "step_number": step_number, "now": now}
        arguments |= {"address": email.lower(), "never": NEVER, "not_before": now + _AFTER_CURSORS_S}
        number, last = connection.execute(self._sql.renewals_of_address, arguments).fetchone()
        if is_ended or state != Status.SENT or number >= MAX_RENEWALS or last > now - RENEWAL_INTERVAL_S:
            return None
        if connection.execute(self._sql.suppressed_for_campaign, arguments).fetchone():
            return None
        sent = dict(connection.execute(self._sql.sent_steps, arguments).fetchall())
        mail = LastMail(row, name, file, step, json.loads(variables), sent, source, line)
        if not permits(mail, now):
            return None
        connection.execute(self._sql.add_renewal, arguments)
        connection.execute(self._sql.revoke_row, arguments)
        connection.execute(self._sql.renew, arguments)
        connection.execute(self._sql.hold_next_steps, arguments)
        return mail
