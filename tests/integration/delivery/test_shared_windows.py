"""What PostgreSQL reserves, in a time that the test sets: the windows hold whatever workers do with their permits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest
from psycopg.types.numeric import Int8Dumper

from campaign.config.postgres_url import parse_postgres_url
from campaign.delivery.shared_terms import terms_of
from campaign.model import Rate, Status
from campaign.sendlog.postgres.session import session_parameters
from campaign.sendlog.postgres.statements import RATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.servers.postgres import Postgres

START = 1_900_000_000.0
#: The time of the database is what the test says.
CLOCK = """
CREATE OR REPLACE FUNCTION campaign.instant_now() RETURNS double precision LANGUAGE sql VOLATILE AS
$$ SELECT current_setting('campaign.now')::double precision $$
"""


@pytest.fixture
def session(postgres_server: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """Connect to a send log whose clock is set by `campaign.now`."""
    url = postgres_server.fresh()
    with psycopg.connect(**session_parameters(parse_postgres_url(postgres_server.for_admin(url)))) as admin:
        admin.execute(CLOCK)
    with psycopg.connect(**session_parameters(parse_postgres_url(url)), autocommit=True) as connection:
        connection.adapters.register_dumper(int, Int8Dumper)
        yield connection
    postgres_server.drop(url)


class Held(NamedTuple):
    """A permit that a worker has, and what it will do with it."""

    number: int
    at: float
    until: float
    is_used: bool


class Worker:
    """Reserves permits, uses most of them soon, some late, and gives some back; when it is killed it reports nothing.

    Args:
        session: the database.
        rates: what is limited.
        name: tells it from the others.
        chance: decides.
        is_wild: whether it is ever late, killed or gives a permit back.
    """

    def __init__(
        self, session: psycopg.Connection[Any], rates: Sequence[str], name: str, chance: random.Random, *, is_wild: bool
    ) -> None:
        self._session = session
        self._terms = terms_of("messages", [Rate.parse(rate) for rate in rates], Status.SENDING)
        self._name = name
        self._chance = chance
        self._is_wild = is_wild
        self._held: list[Held] = []
        #: When it used its permits.
        self.uses: list[float] = []

    def ask(self, now: float) -> None:
        """Report what became of permits, and reserve more."""
        if self._is_wild and self._chance.random() < 0.02:
            self._is_killed()
        ended = [each for each in self._held if each.until <= now]
        self._held = [each for each in self._held if each.until > now]
        terms, wanted = self._terms, self._chance.randrange(20)
        arguments = {
            "bucket": terms.bucket,
            "worker": self._name,
            "wanted": max(0, wanted - len(self._held)),
            "used_numbers": [each.number for each in ended if each.is_used],
            "used_at": [each.until for each in ended if each.is_used],
            "unused": [each.number for each in ended if not each.is_used],
            "counts": [window.count for window in terms.even],
            "periods": [window.period_s for window in terms.even],
            "budget_counts": [],
            "budget_periods": [],
            "horizon": terms.horizon_s,
            "late": terms.late_s,
            "catch_up": terms.catch_up_s,
            "state": terms.status,
            "domain": None,
            "since": None,
        }
        self._session.execute("SELECT set_config('campaign.now', %s, false)", (repr(now),))
        row = self._session.execute(RATES.reserve_permits, arguments).fetchone()
        assert row is not None
        for number, at in zip(row[1], row[2], strict=True):
            self._decide(number, at, now)

    def _is_killed(self) -> None:
        """Start anew; what it had, it used as late as it could."""
        self._name += "'"
        for each in self._held:
            if each.is_used and each.until < each.at + self._terms.late_s:
                self.uses.remove(each.until)
                self.uses.append(each.at + self._terms.late_s)
        self._held.clear()

    def _decide(self, number: int, at: float, now: float) -> None:
        lateness = self._chance.uniform(0.0, 0.002)
        if self._is_wild and self._chance.random() < 0.1:
            lateness = self._chance.uniform(0.0, self._terms.late_s)
        until = max(at, now) + lateness
        is_used = until <= at + self._terms.late_s and not (self._is_wild and self._chance.random() < 0.05)
        if is_used:
            self.uses.append(until)
        self._held.append(Held(number, at, until, is_used))


@pytest.mark.parametrize("is_wild", [False, True])
@pytest.mark.parametrize("rates", [("14/second",), ("100/second",), ("200/2 seconds", "110/second")])
def test_the_windows_hold_whatever_becomes_of_the_permits(
    session: psycopg.Connection[Any], rates: tuple[str, ...], *, is_wild: bool
) -> None:
    """Uses that are late, that are not reported or that do not come exceed no window; without them 98 % is used."""
    chance, now = random.Random(rates[0]), START  # noqa: S311 - the same each time
    workers = [Worker(session, rates, f"worker {number}", chance, is_wild=is_wild) for number in range(4)]
    while now < START + 8.0:
        chance.choice(workers).ask(now)
        now += chance.uniform(0.01, 0.03)
    uses = sorted(at for worker in workers for at in worker.uses if at < now)
    for rate in map(Rate.parse, rates):
        gaps = [later - earlier for earlier, later in zip(uses, uses[rate.count :], strict=False)]
        assert min(gaps) > rate.period.total_seconds() + 0.0099
    used = (len(uses) - 1) / (uses[-1] - uses[0]) / Rate.parse(rates[0]).per_second
    assert used > (0.7 if is_wild else 0.98)
