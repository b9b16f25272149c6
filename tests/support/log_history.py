"""Write a send log as if a campaign with imaginary people had run for days: `LogHistory`."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from campaign.model import InvalidRow, Outcome, Receipt, Recipient, SignInToken, Status
from campaign.sendlog import QueueCursor, ReturnedMail, SendLog, SuppressionList
from support.fake_clock import FakeClock
from support.sendlog_helpers import TWO_DAYS, enlist, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.model import Delivery
    from campaign.sendlog.database import LogDatabase
    from campaign.tags import Tags

#: 3 March 2026, 09:00 UTC.
START = 1_772_528_400.0
#: A hostile reply: HTML, an address, an id of Clerk, and a text like a token.
HOSTILE = "<script>alert(1)</script> <b>u{0}</b> u{0}@{1} user_{0} 4F3A2B1C9D no"
DOMAINS = ("gmail.example", "outlook.example", "icloud.example", "acme.example")
#: How many rows are in progress at once while the log is written.
_TOGETHER = 500


class LogHistory:
    """Writes the log of a campaign.

    Args:
        path: the send log's file.
        log: the send log itself, where the file is a part of it.
        recipients: rows of the CSV.
        batches: the number of runs, one day apart.
        rate: messages per second.
    """

    def __init__(
        self,
        path: Path,
        *,
        log: LogDatabase | None = None,
        recipients: int = 5000,
        batches: int = 3,
        rate: float = 20.0,
    ) -> None:
        self._path = path
        self._log = log or path
        self._recipients = recipients
        self._batches = batches
        self._rate = rate
        self._clock = FakeClock(START)
        self._dice = random.Random(7)  # noqa: S311 - not for secrets

    def write(self) -> None:
        """Write the log."""
        log = SendLog(self._log, "trial", self._clock)
        try:
            enlist(log, list(self._rows()))
            log.note_list("news")
            asyncio.run(self._run(log))
            self._answer(log.tags)
        finally:
            log.close()

    def _answer(self, tags: Tags) -> None:
        """Return some of the mails, complain about some, and unsubscribe from some; some people do several of these."""
        self._clock.set(START + self._batches * 86_400)
        sent = table(self._path, "SELECT id, generation FROM delivery WHERE state = 'sent' ORDER BY id")
        gone, full = Receipt(550, "5.1.1", "No such user"), Receipt(452, "4.2.2", "Mailbox full")
        with ReturnedMail(self._log, self._clock) as log, SuppressionList(self._log, self._clock) as suppressions:
            for place, row in enumerate(sent):
                message = log.message_of([tags.bounce_tag(row["id"], row["generation"])])
                assert message is not None
                if place % 31 == 0:
                    log.came_back_for_now(f"soft {place}", message, full)
                    log.came_back_for_now(f"soft again {place}", message, full)
                if place % 37 == 0:
                    log.bounced(f"hard {place}", message, f"returned: {gone}", gone, suppress=True)
                if place % 41 == 0:
                    assert suppressions.unsubscribe(tags.unsubscribe_token(row["id"], "news"))
                if place % 43 == 0:
                    log.complained(f"complaint {place}", message, Receipt(0, "", "Feedback-Type: abuse"))

    def _rows(self) -> Iterator[Recipient | InvalidRow]:
        for number in range(1, self._recipients + 1):
            common = self._dice.random() < 0.9
            domain = self._dice.choice(DOMAINS) if common else f"company{self._dice.randrange(300)}.example"
            user = f"user_{number}"
            if number % 500 == 0:
                reason = "The address cannot be mailed: This is not one plain address."
                yield InvalidRow(user, f"u{number} at {domain}", user, reason, number + 1)
            else:
                yield Recipient(user, f"u{number}@{domain}", user, {"first_name": "Ada"}, number + 1)

    async def _run(self, log: SendLog) -> None:
        async with log:
            rows = await log.claim(self._recipients, QueueCursor())
            # The last 1 % stays in the queue.
            rows = rows[: len(rows) - len(rows) // 100]
            for start in range(0, len(rows), _TOGETHER):
                together = rows[start : start + _TOGETHER]
                await asyncio.gather(*(self._deliver(log, row, start + each) for each, row in enumerate(together)))
            await self._revoke(log)

    async def _deliver(self, log: SendLog, row: Delivery, place: int) -> None:
        """Move a row along a path chosen by seeded random numbers."""
        dice, each = random.Random(place), self._recipients / self._batches  # noqa: S311 - not for secrets
        moment = START + place // each * 86_400 + place % each / self._rate
        fate = dice.random()
        if fate < 0.008:
            self._clock.set(moment)
            reason = f"the address does not belong to {row.recipient.user_id} at Clerk"
            await log.settle(row, Outcome(Status.SKIPPED, reason))
            return
        while True:
            moment, row, again = await self._attempt(log, row, moment, dice, fate)
            if not again:
                return
            # A deferred message is accepted at the next attempt, except for full mailboxes.
            fate = fate if fate < 0.03 else 1.0

    async def _attempt(
        self, log: SendLog, row: Delivery, moment: float, dice: random.Random, fate: float
    ) -> tuple[float, Delivery, bool]:
        user = row.recipient.user_id or ""
        clock = self._clock
        clock.set(moment)
        row = await log.issuing(row, user_id=user, expires_in=TWO_DAYS)
        moment += dice.lognormvariate(-2.4, 0.3)
        clock.set(moment)
        if 0.03 <= fate < 0.04:
            await log.settle(row, Outcome(Status.QUEUED, "Clerk's answer was lost: timed out", possible_orphan=True))
            return moment + 5, row, True
        token = SignInToken(f"sit_{row.id}_{row.generation}", "secret", user)
        await log.issued(row, token)
        if fate < 0.03:
            given_up = row.attempts == 3
            status = Status.FAILED if given_up else Status.QUEUED
            reply = Receipt(452, "4.2.2", "Mailbox full")
            clock.set(moment + 0.05)
            await log.settle(row, Outcome(status, f"RCPT TO was answered: {reply}", reply, faults=1), revoke=token)
            return moment + 30 * row.attempts, row._replace(faults=row.attempts), not given_up
        if fate < 0.06:
            domain = row.recipient.email.rpartition("@")[2]
            reply = Receipt(550, "5.1.1", HOSTILE.format(user.removeprefix("user_"), domain))
            clock.set(moment + 0.05)
            await log.settle(row, Outcome(Status.FAILED, f"RCPT TO was answered: {reply}", reply), revoke=token)
            return moment, row, False
        clock.set(moment + 0.02)
        server = "mail.example:587"
        await log.sending(row, message_id=f"<{row.id}.{row.generation}@acme.example>", server=server, with_token=True)
        clock.set(moment + 0.02 + dice.lognormvariate(-1.7, 0.5))
        if fate < 0.07:
            await log.settle(row, Outcome(Status.UNCERTAIN, "no reply to the final dot: the server closed"))
        else:
            await log.settle(row, Outcome(Status.SENT, reply=Receipt(250, "2.0.0", f"Ok: queued as 4F3A2B{row.id}")))
        return moment, row, False

    async def _revoke(self, log: SendLog) -> None:
        tries = await log.try_revocations(self._recipients)
        for place, (token_id, _) in enumerate(tries[3:]):
            await log.settle_revocation(token_id, "used" if place < 4 else "revoked")
