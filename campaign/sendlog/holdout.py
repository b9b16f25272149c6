"""Hold a share of the recipients out, so that they are never mailed: `HoldoutDraw.hold_out`, by the keyed hash `draw`.

Those who are not mailed show what the others would have done without the mail.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from campaign.model import NEVER, Status
from campaign.sendlog.campaign_connection import CampaignConnection

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How many rows one transaction changes: a person who unsubscribes meanwhile must not wait long.
_ROWS_PER_TRANSACTION = 5000
#: The size of the hash (bytes), and how many of its bits a float holds.
_SIZE, _BITS = 8, 53


class Holdout(NamedTuple):
    """Who of the CSV read last is held out, in numbers of recipients."""

    #: In percent; 0 if nobody is to be held out.
    share: float = 0.0
    #: The share of the draw before; the same as `share` if it did not change.
    share_before: float = 0.0
    #: Recipients of the CSV that are held out now.
    held: int = 0
    #: How many of them were not before.
    added: int = 0
    #: Those who were held out, and are to be mailed now.
    released: int = 0
    #: Those whom the draw would hold out, had they not been mailed before.
    mailed: int = 0

    @property
    def is_changed(self) -> bool:
        """Whether the share was another one before."""
        return self.share != self.share_before and self.share_before > 0


def draw(secret: bytes, key: str) -> float:
    """Return a recipient's lot, from 0 to below 1: whose lot is below the share is held out.

    It depends on the key and the campaign's secret alone. So it is the same whenever the CSV is read and however it
    grows, and whoever is held out by a share is held out by each larger one. In another campaign it is another.

    Args:
        secret: the campaign's secret key, at most 64 bytes.
        key: the recipient's.
    """
    digest = hashlib.blake2b(key.encode(), key=secret, person=b"holdout", digest_size=_SIZE).digest()
    return (int.from_bytes(digest) >> (8 * _SIZE - _BITS)) / (1 << _BITS)


class _Lots(NamedTuple):
    """What the lots say: rows as (id, number of the step, batch), and keys."""

    #: Held out until now, and not drawn any more.
    released: list[tuple[int, int, int | None]]
    #: Queued, and drawn.
    drawn: list[tuple[int, int, int | None]]
    #: The keys of those drawn who were mailed.
    mailed: set[str]


class HoldoutDraw(CampaignConnection):
    """The part of `PreparationLog` that holds recipients out."""

    def hold_out(self, share: float | None, *, in_batches: bool) -> Holdout:
        """Set the recipients of the CSV whose lot is below a share to `skipped: held out`, unless they were mailed.

        Those whom a smaller share does not hold out any more are queued. Nothing is done if the CSV was drawn from
        with this share before.

        Args:
            share: in percent; None for nobody.
            in_batches: who is queued again waits for `take_batch`.
        """
        wanted = share or 0.0
        before, enlistment = self._one(self._sql.last_draw)
        if not wanted and not before:
            return Holdout()
        arguments = self._arguments(enlistment=self._enlistment, in_batches=in_batches, never=NEVER, percent=wanted)
        added = released = mailed = 0
        if (before, enlistment) != (wanted, self._enlistment):
            lots = self._draw(wanted / 100)
            for start in range(0, len(lots.released), _ROWS_PER_TRANSACTION):
                some = lots.released[start : start + _ROWS_PER_TRANSACTION]
                with self._preparation() as connection:
                    connection.execute(self._sql.release_held_out, arguments | {"ids": _ids(some)})
            for start in range(0, len(lots.drawn), _ROWS_PER_TRANSACTION):
                added += self._hold_out(lots.drawn[start : start + _ROWS_PER_TRANSACTION], arguments)
            released = sum(not number for _, number, _ in lots.released)
            if before and before != wanted:
                mailed = len(lots.mailed)
            with self._preparation() as connection:
                connection.execute(self._sql.drop_empty_batches, arguments)
                connection.execute(self._sql.note_draw, arguments)
        held = self._one(self._sql.count_held_out, enlistment=self._enlistment)[0]
        return Holdout(wanted, before or wanted, held, added, released, mailed)

    def _hold_out(self, drawn: list[tuple[int, int, int | None]], arguments: dict[str, object]) -> int:
        """Hold drawn rows out, in one transaction, that are still queued; return the number of recipients."""
        with self._preparation() as connection:
            take = connection.execute(self._sql.to_hold_out, arguments | {"ids": _ids(drawn)}).fetchall()
            connection.execute(self._sql.hold_out, arguments | {"ids": _ids(take)})
            # a batch is of those who are to be mailed
            for batch, number in Counter(row[2] for row in take if row[2] and not row[1]).items():
                connection.execute(self._sql.shrink_batch, arguments | {"number": batch, "taken": number})
        return sum(not number for _, number, _ in take)

    def _draw(self, share: float) -> _Lots:
        """Draw the lots of the CSV's recipients, while others may write."""
        lots = _Lots([], [], set())
        with self._reading():
            rows = self._connection.stream(self._sql.to_draw, self._arguments(enlistment=self._enlistment))
            for number, step_number, batch, key, state in rows:
                is_drawn = draw(self.message_key, key) < share
                if state == Status.SKIPPED:
                    if not is_drawn:
                        lots.released.append((number, step_number, batch))
                elif is_drawn and state == Status.QUEUED:
                    lots.drawn.append((number, step_number, batch))
                elif is_drawn:
                    lots.mailed.add(key)
        return lots


def _ids(rows: Sequence[tuple[int, int, int | None]]) -> str:
    return json.dumps([row[0] for row in rows])
