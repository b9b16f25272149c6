"""The send log before a run, `Preparation`: recover from a crash, enlist the CSV, return the permits already used."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from campaign.model import NEVER, Batch, Status
from campaign.sendlog.counts import FIRST_INSTANT
from campaign.sendlog.enlisting import Enlister, Enlistment, EnlistmentTerms
from campaign.sendlog.queue_reading import QueueContent
from campaign.sendlog.unfinished import UnfinishedReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

    from campaign.model import InvalidRow, Rate, Recipient
    from campaign.sendlog.counts import Recovered
    from campaign.sendlog.database import LogConnection


class Preparation(UnfinishedReading):
    """The part of `PreparationLog` about rows. Each method that writes is one transaction."""

    #: What this run has enlisted; None before that.
    content: QueueContent | None = None
    #: The batch that is about to be taken: its number, and the time.
    _taken: tuple[int, object] | None = None

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Let no other run prepare this campaign during the block; wait for one that does, and say so."""
        with self._reading(), self._worker.preparing(self._connection, self._campaign, self._say):
            yield

    def recover(self) -> Recovered:
        """Settle what runs left in `issuing` and `sending` that are gone, in every campaign of the log.

        Where a campaign is being prepared that such rows belong to, a run that goes on does so later.
        """
        with self._database.transaction(self._connection, self._connection.begin_short) as connection:
            return self._worker.recover(connection, now=self._clock.now())

    def enlist(
        self,
        rows: Callable[[], Iterable[Recipient | InvalidRow]],
        *,
        source: str,
        digest: str,
        steps: Sequence[str] = ("",),
        in_batches: bool = False,
    ) -> Enlistment:
        """Write every row of a CSV as `queued` or `skipped`, one for each step, all of them or none.

        A large CSV is written in parts, between which others may write to the log; no run sends its rows before the
        last one is there. What a reading has left that did not end is taken back first.

        Args:
            rows: opens the CSV; not called if the CSV is the one enlisted last.
            source: the CSV's path.
            digest: the fingerprint of the CSV's bytes, the templates and the way it is read.
            steps: the names of the steps in their order. The first step takes over the rows of a campaign that had
                no steps, and the other way round, so that nobody gets that mail again.
            in_batches: new recipients wait for `take_batch`; otherwise they are a batch of their own.
        """
        self._has_steps = tuple(steps) != ("",)
        self.take_back()
        found = self._one(self._sql.find_campaign, name=self._name)
        _, _, _, last_source, last_digest, self._enlistment, last_steps = found
        names = json.dumps(list(steps), ensure_ascii=False)
        self.content = QueueContent(digest, names)
        # on another machine the same file may have another path
        if (last_digest, last_steps) == (digest, names) and (last_source == source or self._worker.is_shared):
            return Enlistment(unchanged=True)
        is_changed = last_steps != names and self._enlistment > 0
        terms = EnlistmentTerms(
            self._campaign, self._enlistment + 1, source, self._clock.now(), steps, not in_batches, is_changed
        )
        try:
            result = self._read(rows(), terms, json.loads(last_steps)[0], self.content)
        except BaseException:
            if self._connection.is_open:  # otherwise the next reading takes it back
                self.take_back()
            raise
        self._enlistment = terms.enlistment
        self._forget_former()
        result.shared_addresses = self._one(self._sql.count_shared_addresses, enlistment=self._enlistment)[0]
        return result

    def _read(
        self, rows: Iterable[Recipient | InvalidRow], terms: EnlistmentTerms, last_step: str, content: QueueContent
    ) -> Enlistment:
        """Write the rows of a CSV in parts; others may write to the log while the next part is read."""
        enlister, iterator, is_first, is_last = Enlister(self._connection, terms), iter(rows), True, False
        while not is_last:
            part = list(islice(iterator, enlister.rows_per_part))
            is_last = len(part) < enlister.rows_per_part
            with self._preparation() as connection:
                if is_first:
                    self._rename_first_step(connection, last_step, terms.steps[0])
                    self._begin_reading(connection, terms.steps[0])
                    batch = self._last_batch(connection) + 1 if terms.is_batch else None
                    enlister.begin(batch)
                    is_first = False
                enlister.enlist(part)
                if is_last:
                    self._end_reading(connection, enlister, content)
        return enlister.result

    def _end_reading(self, connection: LogConnection, enlister: Enlister, content: QueueContent) -> None:
        """Write, with the last rows of a CSV, that it is whole: from now on a run sends its rows."""
        enlister.end()
        if enlister.batch is not None and enlister.result.added:
            size = {"number": enlister.batch, "size": enlister.result.added, "is_limited": False}
            connection.execute(self._sql.add_batch, self._arguments(**size))
            self._batch = enlister.batch
        terms = enlister.terms
        number = {"source": terms.source, "enlistment": terms.enlistment}
        connection.execute(
            self._sql.note_source, self._arguments(source_digest=content.digest, steps=content.steps, **number)
        )
        connection.analyze()

    def resume(self, steps: Sequence[str]) -> bool:
        """Take the rows of the CSV enlisted last for those of this run, without reading it.

        Args:
            steps: the names of the steps in their order.

        Returns:
            False if no CSV was enlisted, or one with other steps: then there is nothing to go on with.
        """
        with self.preparing():
            self.take_back()
        found = self._one(self._sql.find_campaign, name=self._name)
        last_digest, enlistment, last_steps = found[4:]
        if not enlistment or json.loads(last_steps) != list(steps):
            return False
        self.content = QueueContent(last_digest, last_steps)
        self._enlistment, self._has_steps = enlistment, tuple(steps) != ("",)
        return True

    def take_batch(self, limit: int | None, *, by_position: bool = False, helps: bool = True) -> Batch | None:
        """Let at most `limit` recipients that were never tried become due, as a new batch.

        What earlier batches left comes first, and does not count. With a limit, the recipients that a run without one
        did not come to are taken back, so that they count.

        Args:
            limit: the most recipients; None for all.
            by_position: in the order of `Recipient.position` instead of the CSV's.
            helps: while other runs work on the last batch, help them with it, and take no other.

        Returns:
            The batch, or None if there is no such recipient.
        """
        with self._preparation() as connection:
            batch = self._take(connection, limit, by_position=by_position, helps=helps)
        self._taken = None
        return batch

    def _take(self, connection: LogConnection, limit: int | None, *, by_position: bool, helps: bool) -> Batch | None:
        """Take a batch, within a transaction."""
        joins = helps and self._worker.joins_batch(connection, self._campaign)
        if limit is not None:
            last = self._arguments(number=self._last_batch(connection))
            found = connection.execute(self._sql.find_batch, last).fetchone()
            # it may have been taken in a transaction whose answer was lost with the connection
            if joins or (found and found[:2] == self._taken):
                return Batch(*found) if found else None
        if limit is not None:
            self._take_back(connection)
            self._batch = None
        number = self._last_batch(connection) + 1 if self._batch is None else self._batch
        arguments = self._arguments(
            enlistment=self._enlistment, number=number, first_instant=FIRST_INSTANT, limit=limit
        )
        in_order = limit is not None or by_position
        # the ranks of earlier batches keep their order, unless the new rows get none
        connection.execute(self._sql.leftovers_first, arguments | {"above": FIRST_INSTANT if in_order else 0})
        if not in_order:
            size = connection.execute(self._sql.take_rest, arguments).rowcount
        else:
            size = self._take_in_order(connection, arguments, by_position=by_position)
        if size:
            connection.execute(self._sql.add_batch, arguments | {"size": size, "is_limited": limit is not None})
            self._taken = (number, arguments["now"])
        found = connection.execute(self._sql.find_batch, arguments).fetchone()
        return Batch(*found) if found else None

    def _take_in_order(self, connection: LogConnection, arguments: dict[str, object], *, by_position: bool) -> int:
        """Give the batch's rows their ranks, after those that earlier batches left; return how many it did not have."""
        rank = connection.execute(self._sql.last_rank, arguments).fetchone()[0]
        pick = self._sql.pick_batch_by_position if by_position else self._sql.pick_batch
        limit = -1 if arguments["limit"] is None else arguments["limit"]
        rows = connection.execute(pick, arguments | {"limit": limit}).fetchall()
        ranked = enumerate((row[0] for row in rows), int(rank) + 1)
        connection.executemany(self._sql.take_row, (arguments | {"id": each, "rank": place} for place, each in ranked))
        return sum(is_new for _, is_new in rows)

    def _take_back(self, connection: LogConnection) -> None:
        arguments = self._arguments(enlistment=self._enlistment, never=NEVER)
        rows = connection.execute(self._sql.to_take_back, arguments).fetchall()
        if not rows:
            return
        connection.execute(self._sql.take_back, arguments | {"ids": json.dumps([row[0] for row in rows])})
        for number, taken in Counter(row[1] for row in rows).items():
            connection.execute(self._sql.shrink_batch, arguments | {"number": number, "taken": taken})
        connection.execute(self._sql.drop_empty_batches, arguments)

    def _last_batch(self, connection: LogConnection) -> int:
        return int(connection.execute(self._sql.last_batch, self._arguments()).fetchone()[0])

    def release_steps(self) -> int:
        """Make each step due whose step before is sent meanwhile, and let the others wait; return how many are due."""
        if not self._has_steps:
            return 0
        with self._preparation() as connection:
            arguments = self._arguments(enlistment=self._enlistment, never=NEVER)
            connection.execute(self._sql.hold_steps, arguments)
            return connection.execute(self._sql.release_steps, arguments).rowcount

    def note_cap(self, rate: Rate | None) -> None:
        """Set how many mails one address may get, of all campaigns of the log; None for any number."""
        self._cap = rate
        # to make it waits for all who write, and others then for it
        if rate is not None and self._one(self._sql.address_index) is None:
            with self._transaction() as connection:
                connection.execute(self._sql.index_addresses)

    def sent_by_day(self, zone: ZoneInfo) -> Mapping[date, int]:
        """Return the days, in a zone, on which the log sent mail of any campaign, each with the number of messages.

        A message counts from its intent, as in `spent`, and an attempt that was refused counts as well.
        """
        days: Counter[date] = Counter()
        with self._reading():
            quarters = self._connection.execute(self._sql.sent_by_quarter, {}).fetchall()
        for at, number in quarters:
            days[datetime.fromtimestamp(at, UTC).astimezone(zone).date()] += number
        return days

    @property
    def file(self) -> str:
        """The path of the campaign file of the last run; empty before the first one."""
        return str(self._one(self._sql.file_of_campaign)[0])

    def note_file(self, path: str) -> None:
        """Store the path of the campaign file."""
        with self._preparation() as connection:
            connection.execute(self._sql.note_file, self._arguments(file=path))

    def latest(self) -> float:
        """Return the latest instant of the log's last entries (seconds since the epoch); 0 if there is none."""
        return float(self._one(self._sql.latest_entry)[0])

    def note_templates(self, fingerprint: str) -> None:
        """Store the fingerprint of the templates that this run sends."""
        with self._preparation() as connection:
            connection.execute(self._sql.note_templates, self._arguments(templates=fingerprint))

    def spent(self, status: Status, rates: Sequence[Rate], *, domain: str | None = None) -> list[tuple[float, int]]:
        """Return the permits that earlier runs used in the windows of `rates`, as (instant, number), oldest first.

        Args:
            status: `sending` for messages, `issuing` for tokens: a row that enters this state uses a permit.
            rates: the longest period decides how far back to look.
            domain: count only recipients of this domain.
        """
        if not rates:
            return []
        period = max(rate.period for rate in rates).total_seconds()
        since, piece = self._clock.now() - period * 1.01, period / 1000
        arguments = {"state": status, "since": since, "piece": piece, "domain": domain}
        statement = self._sql.spent if domain is None else self._sql.spent_domain
        with self._reading():
            return [(at, number) for at, number in self._connection.execute(statement, arguments)]
