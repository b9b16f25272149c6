"""The endpoint for new links over HTTP: what it takes, what it answers, and how much it tells."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from campaign.model import Status
from campaign.renewal import RenewalEndpoint
from campaign.sandbox.httpd import PageServer
from campaign.sendlog import Renewals, SuppressionList
from campaign.unsubscribe import UnsubscribeEndpoint, application
from support.fake_clock import FakeClock
from support.plain_http import NO_TLS
from support.sendlog_helpers import bring, enlist, opened, people, states, working

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from campaign.model import Delivery
    from campaign.sendlog import LastMail, SendLog


class Serving:
    """A served send log: the requests to it, and what it told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.renewed: list[LastMail] = []
        self.faults: list[str] = []

    def ask(self, work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
        """Serve the log while some requests are made."""

        async def serve() -> None:
            with Renewals(self.path, FakeClock()) as log, SuppressionList(self.path, FakeClock()) as suppressions:
                endpoint = RenewalEndpoint(
                    [(log, lambda _mail, _now: True)], on_renewed=self.renewed.append, on_fault=self.faults.append
                )
                async with (
                    PageServer(application(UnsubscribeEndpoint([suppressions]), endpoint.routes)) as server,
                    httpx.AsyncClient(base_url=server.url, trust_env=False, verify=NO_TLS) as client,
                ):
                    await work(client)

        asyncio.run(serve())


@contextmanager
def _sent(path: Path) -> Iterator[SendLog]:
    with opened(path) as log:
        enlist(log, people(3))
        log.note_list("news")

        async def send(rows: list[Delivery]) -> None:
            for row in rows:
                await bring(log, row, Status.SENT)

        working(log, send)
        yield log


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """Return a log in which three people were mailed."""
    with _sent(tmp_path / "send-log.db"):
        return Serving(tmp_path / "send-log.db")


def tag(serving: Serving, row: int = 1) -> str:
    """Return the tag of a row."""
    with opened(serving.path) as log:
        return log.tags.renewal_tag(row)


def test_everyone_gets_the_same_answer(serving: Serving) -> None:
    """True, false, too frequent, malformed and missing tags get one status, one page and one set of headers."""
    true, answers = tag(serving), list[httpx.Response]()

    async def work(client: httpx.AsyncClient) -> None:
        forms = [{"tag": true}, {"tag": true}, {"tag": "x" * 34}, {"tag": "é\x00"}, {"other": "1"}, {}]
        for form in forms:
            answers.append(await client.post("/renew", data=form))
        answers.append(await client.post("/u/behind/a/proxy/renew", data={"tag": tag(serving, 2)}))
        answers.append(await client.post("/renew", content=b"\xff" * 50_000))
        answers.append(await client.post("/renew", content=b"tag=" + true.encode() + b"&tag=x"))

    serving.ask(work)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert "If this link was yours, a new one is on its way to your inbox." in answers[0].text
    assert len({tuple(sorted(set(answer.headers) - {"date"})) for answer in answers}) == 1
    assert not any(answer.cookies for answer in answers)
    assert answers[0].headers["referrer-policy"] == "no-referrer"
    assert [mail.row for mail in serving.renewed] == [1, 2]
    assert states(serving.path) == {"user_1": "queued", "user_2": "queued", "user_3": "sent"}


def test_a_scanner_sends_nothing(serving: Serving) -> None:
    """GET and HEAD with a true tag change nothing, and a page without a form explains; other methods are refused."""
    true = tag(serving)

    async def work(client: httpx.AsyncClient) -> None:
        for path in (f"/renew?tag={true}", f"/u/renew?renew={true}"):
            page = await client.get(path)
            assert page.status_code == (await client.head(path)).status_code == 200
            assert not re.search("<form|<a |<script", page.text)
            for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
                assert (await client.request(method, path)).status_code == 405
        assert "unsubscribed" in (await client.post(f"/{true}")).text

    serving.ask(work)
    assert set(states(serving.path).values()) == {"sent"}
    with SuppressionList(serving.path, FakeClock()) as suppressions:
        assert list(suppressions.entries()) == [], "a tag is no unsubscribe token"


def test_many_requests_at_once_are_one(serving: Serving) -> None:
    """Of forty simultaneous requests for one person one is granted."""
    true = tag(serving)

    async def work(client: httpx.AsyncClient) -> None:
        found = await asyncio.gather(*(client.post("/renew", data={"tag": true}) for _ in range(40)))
        assert {answer.status_code for answer in found} == {200}

    serving.ask(work)
    assert len(serving.renewed) == 1
    with Renewals(serving.path, FakeClock()) as log:
        assert log.declined == 39


def test_a_log_that_cannot_be_written_promises_nothing(serving: Serving) -> None:
    """On a full disk the answer is 503 and asks to try again, the operator gets a sentence, and nothing changes."""
    with closing(sqlite3.connect(serving.path)) as connection, connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON renewal BEGIN SELECT RAISE(ABORT, 'disk is full'); END")

    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/renew", data={"tag": tag(serving)})
        assert answer.status_code == 503
        assert "press the button again in a minute" in answer.text

    serving.ask(work)
    (fault,) = serving.faults
    assert "disk is full" in fault
    assert "@" not in fault
    assert set(states(serving.path).values()) == {"sent"}
