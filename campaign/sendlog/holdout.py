"""Hold a share of the recipients out, so that they are never mailed: `HoldoutDraw.hold_out`, by the keyed hash `draw`.

Those who are not mailed show what the others would have done without the mail.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from campaign.model import NEVER
from campaign.sendlog.campaign_connection import CampaignConnection
from campaign.sendlog.sqlite.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        before, enlistment = self._connection.execute(SQL.last_draw, self._arguments()).fetchone()
        if not wanted and not before:
            return Holdout()
        arguments = self._arguments(
            enlistment=self._enlistment, share=wanted / 100, in_batches=in_batches, never=NEVER, percent=wanted
        )
        added = released = mailed = 0
        if (before, enlistment) != (wanted, self._enlistment):
            self._connection.create_function("draw", 1, partial(draw, self.message_key), deterministic=True)
            with self._transaction() as connection:
                drop = connection.execute(SQL.to_release, arguments).fetchall()
                connection.execute(SQL.release_held_out, arguments | {"ids": _ids(drop)})
                take = connection.execute(SQL.to_hold_out, arguments).fetchall()
                connection.execute(SQL.hold_out, arguments | {"ids": _ids(take)})
                released, added = (sum(not number for _, number, _ in rows) for rows in (drop, take))
                # a batch is of those who are to be mailed
                for batch, number in Counter(row[2] for row in take if row[2] and not row[1]).items():
                    connection.execute(SQL.shrink_batch, arguments | {"number": batch, "taken": number})
                connection.execute(SQL.drop_empty_batches, arguments)
                if before and before != wanted:
                    mailed = connection.execute(SQL.count_mailed_lots, arguments).fetchone()[0]
                connection.execute(SQL.note_draw, arguments)
        held = self._connection.execute(SQL.count_held_out, arguments).fetchone()[0]
        return Holdout(wanted, before or wanted, held, added, released, mailed)


def _ids(rows: Sequence[tuple[int, ...]]) -> str:
    return json.dumps([row[0] for row in rows])
