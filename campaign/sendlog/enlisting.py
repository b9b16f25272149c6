"""Write a CSV's rows to the send log, in parts: `Enlister.enlist`, within a transaction that the caller opened."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from campaign.model import NEVER, InvalidRow, Recipient, Status, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from campaign.sendlog.database import LogConnection

#: A row's variables as JSON. The digest covers this text, so a new format would make every row count as changed.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class EnlistmentTerms(NamedTuple):
    """What all rows of one CSV have in common."""

    campaign: int
    #: The number of this enlistment.
    enlistment: int
    #: The CSV's path.
    source: str
    now: float
    #: The names of the steps in their order; one empty name in a campaign without steps.
    steps: Sequence[str] = ("",)
    #: Whether the new recipients are a batch; otherwise they wait for `take_batch`.
    is_batch: bool = False
    #: The steps are others than at the last enlistment, so no row can be taken for new.
    has_new_steps: bool = False


class _Record(NamedTuple):
    """A new row of the table `delivery`: the columns of the statement `add_deliveries` after the common ones."""

    actor: str
    key: str
    line: int
    email: str
    user_id: str | None
    domain: str = ""
    variables: str = "{}"
    digest: bytes = b""
    slot: str = ""
    state: str = "queued"
    reason: str = ""
    batch: int | None = None
    #: From here on the columns' defaults, for a recipient without steps, schedule and order.
    step: str = ""
    step_number: int = 0
    position: float = 0.0
    due_at: float = 0.0
    not_before: float = 0.0
    waiting: str = ""


#: How many columns a row needs whose others have their defaults.
_PLAIN = _Record._fields.index("step")


class _Known(NamedTuple):
    """A row of the table `delivery` as it was: the columns of the statement `known_keys` after key and step."""

    id: int
    enlistment: int
    state: str
    digest: bytes
    line: int
    step_number: int
    actor: str
    reason: str


@dataclass(slots=True)
class Enlistment:
    """The result of enlisting a CSV, in numbers of rows."""

    #: Rows (or groups) of the CSV that can be mailed.
    recipients: int = 0
    #: How many of them are new to the campaign.
    added: int = 0
    #: Rows not mailed yet whose address, user or variables have changed: the new data is used.
    changed: int = 0
    #: Rows already mailed (or perhaps mailed) whose data has changed: the new data is not used.
    changed_late: int = 0
    #: Invalid rows; the log has their reasons.
    invalid: int = 0
    #: Rows whose key an earlier row of the CSV has.
    duplicates: int = 0
    #: Addresses that occur under several keys: each key is mailed.
    shared_addresses: int = 0
    #: The CSV is identical to the one enlisted last, so it was not read again.
    unchanged: bool = False


class Enlister:
    """Writes one CSV's rows to the log, within transactions that the caller opens: `begin`, `enlist` often, `end`.

    Attributes:
        terms: what all rows have in common.
        batch: the batch of new recipients, from `begin` on; None if they wait for `take_batch`.
        result: the numbers of rows so far.
    """

    def __init__(self, connection: LogConnection, terms: EnlistmentTerms) -> None:
        self._connection = connection
        self._sql = connection.sql
        self.terms = terms
        self.batch: int | None = None
        self._enlistment = terms.enlistment
        self._first, *later = terms.steps
        self._is_plain = not self._first and not later
        self._later_steps = tuple(enumerate(later, 1))
        #: No key was in the log so far. While this holds, insert without a search: the unique index reports the first
        #: known key.
        self._all_new = not terms.has_new_steps
        #: The updates of one chunk, by the statement's name, in the order in which they are executed.
        self._changes: dict[str, list[dict[str, object]]] = {
            "touch_delivery": [], "change_delivery": [], "requeue_changed": []
        }  # fmt: skip
        self.result = Enlistment()

    @property
    def rows_per_part(self) -> int:
        """How many rows of the CSV one transaction writes, so that it is a short one."""
        return self._connection.rows_per_part // len(self.terms.steps) or 1

    def begin(self, batch: int | None) -> None:
        """Remove the rows of this CSV that were invalid before: they are checked again."""
        self.batch = batch
        self._connection.execute(self._sql.forget_unmailable, self._arguments())

    def enlist(self, part: Sequence[Recipient | InvalidRow]) -> None:
        """Add or update every row of a part of the CSV."""
        size = self._connection.rows_at_once // len(self.terms.steps) or 1
        for start in range(0, len(part), size):
            self._enlist_chunk(part[start : start + size])

    def end(self) -> None:
        """Queue the rows of the CSV again that were skipped because an earlier one did not have them."""
        self._connection.execute(self._sql.requeue_returned, self._arguments())

    def _enlist_chunk(self, chunk: Sequence[Recipient | InvalidRow]) -> None:
        records = [
            self._record(row) if isinstance(row, Recipient) else self._unmailable(row, row.reason) for row in chunk
        ]
        if self._all_new and self._added(records):
            invalid = sum(isinstance(row, InvalidRow) for row in chunk)
            self.result.invalid += invalid
            self.result.recipients += len(chunk) - invalid
            self.result.added += len(chunk) - invalid
        else:
            self._all_new = False
            self._enlist_each(chunk, records)

    def _added(self, records: list[_Record]) -> bool:
        """Insert all rows and return True; insert none and return False if the table has one of their keys."""
        if self._later_steps:
            records = [each for record in records for each in self._all_steps(record)]
        return self._connection.add_new(*self._values(records))

    def _enlist_each(self, chunk: Sequence[Recipient | InvalidRow], records: list[_Record]) -> None:
        """Enlist rows whose keys may already be in the log."""
        known = self._known([row.key for row in chunk if isinstance(row, Recipient)])
        new: list[_Record] = []
        for row, record in zip(chunk, records, strict=True):
            if isinstance(row, InvalidRow):
                self.result.invalid += 1
                new.append(record)
                continue
            before = known.get(row.key, {})
            line = next((each.line for each in before.values() if each.enlistment == self._enlistment), None)
            if line is not None:
                self.result.duplicates += 1
                new.append(self._unmailable(row, f"duplicate: line {line} has the same key"))
                continue
            self.result.recipients += 1
            self.result.added += not before
            new += self._update(record, before)
            known[row.key] = {"": _Known(0, self._enlistment, "queued", record.digest, row.line, 0, "enlist", "")}
        self._keep_former()
        for name, changes in self._changes.items():
            if changes:
                self._connection.executemany(getattr(self._sql, name), changes)
                changes.clear()
        if new:
            self._connection.add(*self._values(new))

    def _keep_former(self) -> None:
        """Keep what the rows were that are about to be changed, until the CSV is whole."""
        for name, has_changed in (("touch_delivery", False), ("change_delivery", True)):
            if changes := self._changes[name]:
                ids = json.dumps([change["id"] for change in changes])
                self._connection.execute(self._sql.keep_former, {"ids": ids, "has_changed": has_changed})

    def _known(self, keys: list[str]) -> dict[str, dict[str, _Known]]:
        """Return the rows of some keys, by key and step."""
        arguments = {"campaign": self.terms.campaign, "keys": json.dumps(keys)}
        found: dict[str, dict[str, _Known]] = {}
        for key, step, *rest in self._connection.execute(self._sql.known_keys, arguments):
            found.setdefault(key, {})[step] = _Known(*rest)
        return found

    def _update(self, record: _Record, before: dict[str, _Known]) -> list[_Record]:
        """Note what a recipient's new data changes in the rows of its steps; return the rows that are to be added."""
        new = []
        changed = late = False
        skipped = next((each for each in before.values() if each.state == "skipped" and each.actor == "skip"), None)
        for each in self._all_steps(record):
            if each.step not in before:
                # a recipient that an operator skipped gets nothing more, also of a step that is new in the file
                new.append(_skipped_like(each, skipped) if skipped else each)
                continue
            row = before[each.step]
            if row.digest == each.digest or row.state not in {"queued", "failed", "skipped"}:
                late = late or row.digest != each.digest
                self._changes["touch_delivery"].append(self._arguments(id=row.id, **each._asdict()))
                continue
            changed = True
            arguments = self._arguments(id=row.id, **each._asdict())
            self._changes["change_delivery"].append(arguments)
            if row.state == "skipped":
                self._changes["requeue_changed"].append(arguments)
        self.result.changed += changed
        self.result.changed_late += late and not changed
        return new

    def _values(self, records: list[_Record]) -> tuple[dict[str, object], tuple[str, ...], Sequence[Sequence[object]]]:
        """Return the arguments of `add_new`. Columns whose defaults hold are left out: a tenth of the time."""
        terms = self.terms
        common: dict[str, object] = {
            "campaign_id": terms.campaign,
            "enlistment": terms.enlistment,
            "source": terms.source,
            "updated_at": terms.now,
        }
        if self._is_plain and not any(each.position or each.not_before for each in records):
            return common, _Record._fields[:_PLAIN], [each[:_PLAIN] for each in records]
        return common, _Record._fields, records

    def _arguments(self, **more: object) -> dict[str, object]:
        terms = self.terms
        return {
            "campaign": terms.campaign,
            "enlistment": terms.enlistment,
            "source": terms.source,
            "now": terms.now,
            "in_batches": not terms.is_batch,
            "never": NEVER,
        } | more

    def _record(self, row: Recipient) -> _Record:
        """Return the row of a recipient's first step."""
        variables = _encode(row.variables)
        content = "\0".join((row.email, row.user_id or "", variables))
        domain = row.email.rpartition("@")[2].lower()
        digest = hashlib.blake2b(content.encode(), digest_size=12).digest()
        batch, not_before, waiting = self.batch, row.due_at, ""
        if batch is None:
            not_before, waiting = NEVER, Waiting.BATCH
        elif not_before > self.terms.now:
            waiting = Waiting.DUE
        return _Record(
            "enlist", row.key, row.line, row.email, row.user_id, domain, variables, digest, "", "queued", "", batch,
            self._first, 0, row.position, row.due_at, not_before, waiting,
        )  # fmt: skip

    def _all_steps(self, record: _Record) -> Iterable[_Record]:
        """Yield the rows of all steps of a recipient, given that of the first; a later one waits for the one before."""
        yield record
        if record.slot or not self._later_steps:
            return
        later = record._replace(batch=None, due_at=0.0, not_before=NEVER, waiting=Waiting.STEP)
        for number, step in self._later_steps:
            yield later._replace(step=step, step_number=number)

    def _unmailable(self, row: Recipient | InvalidRow, reason: str) -> _Record:
        slot, reason = f"line {row.line} of {self.terms.source}", f"line {row.line}: {reason}"
        return _Record(
            "enlist", row.key, row.line, row.email, row.user_id, slot=slot, state=Status.SKIPPED, reason=reason,
            step=self._first,
        )  # fmt: skip


def _skipped_like(record: _Record, row: _Known) -> _Record:
    return record._replace(state=row.state, actor=row.actor, reason=row.reason, not_before=0.0, waiting="")
