"""The recheck: rows are asked about by the hundred, answers are fresh, and every doubt lets the rows wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from campaign.delivery.recheck import Recheck
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.errors import DeferredError
from campaign.model import Delivery, Waiting
from campaign.site.recheck_endpoint import RecheckEndpoint
from support.fake_clock import FakeClock
from support.sendlog_helpers import person
from support.servers.recheck_site import RECHECK_KEY, RecheckSite

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


@pytest.fixture
def site() -> Iterator[RecheckSite]:
    """A site whose recipients all still stand."""
    with RecheckSite() as found:
        yield found


def row(number: int, step: str = "second") -> Delivery:
    """Return a claimed row."""
    return Delivery(number, person(number), 0, 0, 0, step=step, step_number=1)


def rechecked(
    site: RecheckSite, work: Callable[[Recheck, FakeClock], Coroutine[Any, Any, None]], notices: list[str] | None = None
) -> None:
    """Do some work with the recheck of a site and a clock that the work moves."""

    async def run() -> None:
        clock = FakeClock()
        async with RecheckEndpoint(site.url, RECHECK_KEY, timeout=5.0) as endpoint:
            backoff = Backoff(RetryPolicy(first_delay=timedelta(seconds=30)))
            told = notices if notices is not None else []
            await work(Recheck(endpoint, "trial", backoff, clock=clock, on_notice=told.append), clock)

    asyncio.run(run())


def test_a_page_is_asked_about_by_the_hundred_for_each_step(site: RecheckSite) -> None:
    """250 rows of one step and 3 of another cost four requests, and each row gets its own answer."""
    site.recheck.standing = {f"user_{number}": {"total": str(number)} for number in range(1, 254) if number != 7}

    async def work(recheck: Recheck, _: FakeClock) -> None:
        rows = [row(number) for number in range(1, 251)] + [row(number, "third") for number in range(251, 254)]
        await recheck.fetch(rows)
        answers = [await recheck.variables_of(each) for each in rows]
        assert answers == [None if number == 7 else {"total": str(number)} for number in range(1, 254)]

    rechecked(site, work)
    assert sorted(len(keys) for keys in site.asked) == [3, 50, 100, 100]
    assert sorted(event["step"] for event in site.events("request")) == ["second", "second", "second", "third"]


def test_an_answer_is_used_for_sixty_seconds(site: RecheckSite) -> None:
    """A row whose answer is older is asked about again, together with the rows that are left of its question."""
    bought: dict[str, dict[str, Any]] = {"user_3": {}}

    async def work(recheck: Recheck, clock: FakeClock) -> None:
        rows = [row(1), row(2), row(3)]
        await recheck.fetch(rows)
        await clock.advance(59)
        assert await recheck.variables_of(rows[0]) == {}
        await clock.advance(2)
        site.recheck.standing = bought
        assert await recheck.variables_of(rows[1]) is None
        assert await recheck.variables_of(rows[2]) == {}

    rechecked(site, work)
    assert site.asked == [("user_1", "user_2", "user_3"), ("user_2", "user_3")]


def test_a_doubt_lets_the_rows_wait_and_is_said_once(site: RecheckSite) -> None:
    """After an unusable answer nothing is asked until the back-off has passed; it doubles, and ends with an answer."""
    site.recheck.faults += ["500 Oops", "<html>"]
    notices: list[str] = []

    async def work(recheck: Recheck, clock: FakeClock) -> None:
        began = clock.now()
        with pytest.raises(DeferredError, match="answered 500") as caught:
            await recheck.variables_of(row(1))
        assert caught.value.waiting is Waiting.RECHECK
        assert 30 <= caught.value.until - began <= 36
        with pytest.raises(DeferredError):
            recheck.raise_if_paused()
        with pytest.raises(DeferredError, match="answered 500"):
            await recheck.variables_of(row(2))
        await clock.advance(40)
        recheck.raise_if_paused()
        with pytest.raises(DeferredError, match="no JSON") as caught:
            await recheck.variables_of(row(1))
        assert 60 <= caught.value.until - clock.now() <= 72
        await clock.advance(80)
        assert await recheck.variables_of(row(1)) == {}

    rechecked(site, work, notices)
    assert len(site.asked) == 3
    (notice,) = notices
    assert "answered 500" in notice


def test_who_asked_ahead_gets_the_doubt_too(site: RecheckSite) -> None:
    """A failed request for a page raises nothing itself; each of its rows waits."""
    site.recheck.faults.append("503 Later")

    async def work(recheck: Recheck, _: FakeClock) -> None:
        rows = [row(1), row(2)]
        await recheck.fetch(rows)
        for each in rows:
            with pytest.raises(DeferredError, match="answered 503"):
                await recheck.variables_of(each)

    rechecked(site, work)
    assert len(site.asked) == 1


@pytest.mark.parametrize("column", ["email", "user_id"])
def test_the_site_cannot_change_who_is_mailed(site: RecheckSite, column: str) -> None:
    """An answer with another address or user than the CSV's is a doubt; the same one is not."""
    same = {"email": person(1).email, "user_id": str(person(1).user_id)}
    site.recheck.standing = {"user_1": {column: "another"}, "user_2": {}}

    async def work(recheck: Recheck, _: FakeClock) -> None:
        first = row(1)._replace(recipient=person(1)._replace(variables=same))
        with pytest.raises(DeferredError, match=f"another {column} than the CSV"):
            await recheck.variables_of(first)
        site.recheck.standing = {"user_1": {column: same[column]}}
        assert await recheck.variables_of(first) == {column: same[column]}

    rechecked(site, work)
