"""When rows of a recipient domain may be taken up: its rate, its holds, and few at first after a hold.

Who is under way, and what became of them, is for the feed to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.sendlog import Lane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.model import Delivery
    from campaign.pacing import Pacer
    from campaign.sendlog import SendLog

NEVER = float("inf")
#: A domain's rows are taken up so shortly (seconds) before their turn, so that they hold nobody up.
_SOON = 0.05
#: So many may be under way to a domain whose hold is over: whoever was deferred by it, and whoever was not tried yet.
_FEW = 2
#: Each message that it takes allows for one more, up to this number; from there on as many as are of use.
_MANY = 32
_MOST = 2**31


class PacedLane:
    """A part of the queue with a pacer of its own, or the rest of the queue."""

    def __init__(self, lane: Lane, pacer: Pacer | None) -> None:
        self.lane = lane
        self.pacer = pacer
        #: Nothing was due at the last look.
        self.dry = False
        #: Rows that were taken up and have not had their domain's turn yet.
        self.waiting = 0
        self._few: int | None = None
        self._probes = False

    def turn_at(self, under_way: Mapping[int, str]) -> float:
        """Return when another row may be taken up; never, while those under way are as many as may be.

        Args:
            under_way: the domain of each recipient who is, by the row's number.
        """
        if not self._room(under_way):
            return NEVER
        return self.pacer.free_at() if self.pacer else 0.0

    def has_a_turn(self, now: float, under_way: Mapping[int, str]) -> bool:
        """Return whether rows of this lane could go out at once."""
        return not self.waiting and self.turn_at(under_way) <= now + _SOON

    @property
    def stopped(self) -> bool:
        """Whether nothing more goes to this domain in this run."""
        return self.pacer is not None and self.pacer.held_until == NEVER

    async def claim(self, log: SendLog, most: int, under_way: Mapping[int, str]) -> list[Delivery]:
        """Return the next rows that are due: of a domain no more than it allows about now, and few after a hold.

        The first one after a hold is the one who was put off most often, for a domain that greylists takes none but
        those who came before.
        """
        rate = self.pacer.per_second if self.pacer else None
        size = min(self._room(under_way), most if rate is None else max(1, min(most, int(rate * _SOON))))
        first: list[Delivery] = []
        if self._probes:
            self._probes = False
            first = await log.claim(1, Lane(domain=self.lane.domain, tried=True))
            size -= len(first)
        if not size:
            return first
        page = await log.claim(size, self.lane)
        self.dry = len(page) < size
        return first + [delivery for delivery in page if delivery not in first]

    def hold(self, seconds: float) -> None:
        """Take up nobody for so long, and few afterwards."""
        assert self.pacer is not None  # noqa: S101 - lanes of domains have one
        self.pacer.hold(seconds)
        self._few, self._probes = _FEW, True

    def accepted(self) -> None:
        """Note that the domain took a message."""
        if self._few is not None:
            self._few = self._few + 1 if self._few < _MANY else None

    def _room(self, under_way: Mapping[int, str]) -> int:
        if self._few is None:
            return _MOST
        return max(0, self._few - sum(domain == self.lane.domain for domain in under_way.values()))
