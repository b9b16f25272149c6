"""Reading Clerk's waitlist page by page, and writing it down beside the send log."""

from __future__ import annotations

import asyncio
import csv
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest

from campaign.clerk.client import Clerk
from campaign.config.definition import load_definition
from campaign.config.settings import parse_smtp_url
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.services import Services
from campaign.delivery.waitlist import read_waitlist
from campaign.errors import CampaignError, RecipientsError, ServiceRefusesError
from campaign.model import Status
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, enlist, opened, person, working
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Answer, ClerkScript, Truncate, Users, refusal
from support.servers.script import Drop, Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from campaign.config.definition import Definition
    from campaign.model import Delivery, WaitlistRow

_FILE = """
name = "trial"
[recipients]
clerk = "waitlist"
{more}
[email]
from = "Acme <hello@acme.example>"
subject = "You're in"
html = "email.html"
[link]
url = "https://acme.example/welcome"
expires_in = "48h"
[retry]
attempts = 3
first_delay = "10ms"
"""


def definition_in(folder: Path, more: str = "") -> Definition:
    (folder / "email.html").write_text('<a href="{{ link }}">in</a>', encoding="utf-8")
    (folder / "campaign.toml").write_text(_FILE.format(more=more), encoding="utf-8")
    return load_definition(folder / "campaign.toml")


@dataclass
class Listed:
    """A waitlist with some entries, each pending unless `statuses` says otherwise."""

    folder: Path
    number: int
    faults: tuple[Fault, ...] = ()
    statuses: dict[str, str] = field(default_factory=dict)
    addresses: dict[int, str] = field(default_factory=dict)

    def server(self) -> ClerkServer:
        """Return a Clerk with the waitlist."""
        people = self.folder / "people.csv"
        rows = [
            (f"wle_{number:05}", self.addresses.get(number, f"u{number}@example.com")) for number in range(self.number)
        ]
        with people.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("user_id", "email"), *rows])
        users = Users(csv=str(people), waitlist=True, statuses=self.statuses)
        return ClerkServer(ClerkScript(users=users, faults=self.faults))


def read(
    server: ClerkServer,
    folder: Path,
    more: str = "",
    *,
    limiter: RateLimiter | None = None,
    waiting: Callable[[str, float], object] = lambda *_: None,
) -> Definition | CampaignError:
    """Read the waitlist as a run does; return the campaign, or the error."""
    definition, clock = definition_in(folder, more), FakeClock()
    limiter = limiter or RateLimiter((), clock)
    services = Services(folder / "send-log.db", _NO_SERVER, server.url, "sk_test_1", ())
    with opened(services.log, clock=clock) as log:
        try:
            return asyncio.run(
                read_waitlist(definition, services, partial(asyncio.to_thread, log.begun_keys), limiter, waiting)
            )
        except CampaignError as error:
            return error


_NO_SERVER = parse_smtp_url("smtps://mail.example")


def ids(found: Definition | CampaignError) -> list[str]:
    """Return the ids of the entries that were written down."""
    assert not isinstance(found, CampaignError), found
    with found.recipients.file.open(encoding="utf-8", newline="") as file:
        return [row["waitlist_id"] for row in csv.DictReader(file)]


def test_all_pages_are_read_in_their_order(tmp_path: Path) -> None:
    """A list of several pages is written down whole, oldest first, for the owner's eyes only."""
    listed = Listed(tmp_path, 1203)
    with listed.server() as server:
        found = read(server, tmp_path)
        requests = server.events("request")
    assert ids(found) == [f"wle_{number:05}" for number in range(1203)]
    assert len(requests) == 3
    file = tmp_path / "trial.waitlist.csv"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text(encoding="utf-8").splitlines()[1] == "u0@example.com,wle_00000,2023-11-14T22:13:20+00:00"


def test_only_entries_with_the_status_are_taken(tmp_path: Path) -> None:
    """By default the pending entries are the recipients, or else the invited ones."""
    listed = Listed(tmp_path, 4, statuses={"wle_00001": "invited", "wle_00002": "rejected", "wle_00003": "completed"})
    with listed.server() as server:
        assert ids(read(server, tmp_path)) == ["wle_00000"]
        assert ids(read(server, tmp_path, 'status = "invited"')) == ["wle_00001"]


def test_who_was_begun_stays_unless_rejected(tmp_path: Path) -> None:
    """Whom an earlier run mailed, or made a user, stays a recipient though the entry is completed by it."""
    listed = Listed(
        tmp_path, 4, statuses={f"wle_{number:05}": "completed" for number in (0, 1)} | {"wle_00002": "rejected"}
    )
    with opened(tmp_path / "send-log.db") as log:
        rows = [person(number)._replace(key=f"u{number}@example.com") for number in (0, 1, 2)]
        enlist(log, [rows[0], rows[2]])

        async def work(deliveries: list[Delivery]) -> None:
            await bring(log, deliveries[0], Status.SENT)
            await log.creating_user(deliveries[1])

        working(log, work)
    with listed.server() as server:
        assert ids(read(server, tmp_path)) == ["wle_00000", "wle_00003"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda server, page: server.join(f"wle_new{page}", f"new{page}@example.com"), id="grows"),
        pytest.param(lambda server, page: server.leave(f"wle_{page:05}"), id="shrinks"),
        pytest.param(
            lambda server, page: [server.leave(f"wle_{number:05}") for number in range(page * 150, page * 150 + 120)],
            id="shrinks by many",
        ),
        pytest.param(lambda server, page: server.leave(f"wle_{499 + 499 * page:05}"), id="loses the last one read"),
    ],
)
def test_a_list_that_changes_while_it_is_read_loses_nobody(
    change: Callable[[ClerkServer, int], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is on the list all the time is read, once, however it grows or shrinks between two pages."""
    listed = Listed(tmp_path, 1400)
    call = Clerk.waitlist
    pages: list[int] = []
    with listed.server() as server:

        async def changing(clerk: Clerk, *, offset: int) -> tuple[list[WaitlistRow], int]:
            found = await call(clerk, offset=offset)
            if len(pages) < 2:
                change(server, len(pages))
            pages.append(offset)
            return found

        monkeypatch.setattr(Clerk, "waitlist", changing)
        found = ids(read(server, tmp_path))
        monkeypatch.undo()
        stayed = ids(read(server, tmp_path))
    assert len(found) == len(set(found))
    assert set(stayed) <= set(found)


def test_a_list_that_never_stands_still_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that moves on by more than the step back between any two pages ends the run with a sentence."""
    listed = Listed(tmp_path, 700)
    call, front, back = Clerk.waitlist, count(), count(700)
    with listed.server() as server:

        async def moving(clerk: Clerk, *, offset: int) -> tuple[list[WaitlistRow], int]:
            found = await call(clerk, offset=offset)
            for _ in range(130):
                server.leave(f"wle_{next(front):05}")
                number = next(back)
                server.join(f"wle_{number:05}", f"u{number}@example.com")
            return found

        monkeypatch.setattr(Clerk, "waitlist", moving)
        found = read(server, tmp_path)
    assert isinstance(found, ServiceRefusesError)
    assert "changes faster than it can be read" in str(found)


def test_a_temporary_fault_is_waited_for(tmp_path: Path) -> None:
    """Faults in the middle of the list are tried again, each page as often as a recipient would be."""
    faults = (
        Fault("waitlist", Answer(503), skip=1, times=1),
        Fault("waitlist", Drop(), skip=2, times=1),
        Fault("waitlist", Truncate(), skip=3, times=1),
    )
    said: list[tuple[str, float]] = []
    with Listed(tmp_path, 900, faults).server() as server:
        assert len(ids(read(server, tmp_path, waiting=lambda *told: said.append(told)))) == 900
    assert said[0][0].startswith("Clerk's waitlist cannot be read: Clerk's answer cannot be used: 503")
    assert all(seconds > 0 for _, seconds in said)


def test_a_pause_is_waited_for_with_a_word(tmp_path: Path) -> None:
    """While Clerk is paused, as another worker may have told, the list waits, says why, and no try is used up."""
    clock = FakeClock()
    limiter = RateLimiter((), clock)
    limiter.pause(60.0, "Clerk does not answer")
    said: list[tuple[str, float]] = []

    def waiting(why: str, seconds: float) -> None:
        said.append((why, seconds))
        loop = asyncio.get_running_loop()
        loop.call_soon(clock.jump, seconds)
        if len(said) < 10:
            loop.call_soon(limiter.pause, 90.0, "Clerk is slow")

    with Listed(tmp_path, 2).server() as server:
        found = read(server, tmp_path, limiter=limiter, waiting=waiting)
    assert len(ids(found)) == 2
    assert said == [("Clerk is paused (Clerk does not answer)", 60.0), *[("Clerk is paused (Clerk is slow)", 90.0)] * 9]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Answer(503), "Clerk's waitlist cannot be read: Clerk's answer cannot be used: 503 Service Unavailable. That"),
        (refusal(403, "feature_not_enabled"), "Clerk refuses the key: 403 feature_not_enabled"),
        (refusal(422, "waitlist_not_enabled"), "Clerk refuses to list the waitlist: 422 waitlist_not_enabled"),
        (refusal(404, "resource_not_found"), "Clerk refuses to list the waitlist: 404 resource_not_found"),
    ],
)
def test_a_lasting_fault_ends_the_run(fault: Answer, sentence: str, tmp_path: Path) -> None:
    """An instance without a waitlist, and a Clerk that is down, end the run with a sentence before anything is sent."""
    with Listed(tmp_path, 2, (Fault("waitlist", fault),)).server() as server:
        found = read(server, tmp_path)
    assert isinstance(found, ServiceRefusesError)
    assert str(found).startswith(sentence)
    assert not (tmp_path / "trial.waitlist.csv").exists()


def test_an_empty_list_is_said(tmp_path: Path) -> None:
    """A waitlist without a pending entry has nobody to mail, and the last list that was written down is kept."""
    with Listed(tmp_path, 2, statuses=dict.fromkeys(("wle_00000", "wle_00001"), "completed")).server() as server:
        found = read(server, tmp_path)
    assert isinstance(found, RecipientsError)
    assert "no entry with the status pending (2 have another status)" in str(found)


def test_an_address_is_written_as_it_is(tmp_path: Path) -> None:
    """Whatever Clerk has as an address comes back from the CSV unchanged: nothing in it makes a row or a cell."""
    odd = {
        0: "",
        1: 'a"b,c@example.com',
        2: "x@example.com\nevil@example.com",
        3: "=cmd@example.com",
        4: "ü@exämple.de",
    }
    with Listed(tmp_path, 5, addresses=odd).server() as server:
        found = read(server, tmp_path)
    assert not isinstance(found, CampaignError)
    with found.recipients.file.open(encoding="utf-8", newline="") as file:
        assert [row["email"] for row in csv.DictReader(file)] == list(odd.values())


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A place in the way of the list is a sentence, and nothing is sent."""
    (tmp_path / "trial.waitlist.csv").mkdir()
    with Listed(tmp_path, 2).server() as server:
        found = read(server, tmp_path)
    assert isinstance(found, RecipientsError)
    assert "trial.waitlist.csv: Clerk's waitlist cannot be written down here" in str(found)
