"""Play a day of three campaigns under watches that are killed every few hours, at faulty servers: `Day`.

Carts are abandoned and people join the waitlist all day long, so their CSV is written anew each hour, and the servers
do all that the crash loop's do: they lose replies, refuse, and fall silent.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from support import ROOT, TESTS
from support.crash.checker import check
from support.crash.day_campaigns import (
    ATTEMPTS,
    DEFINITIONS,
    FIRST_DELAY_S,
    HTML,
    LATER_SUBJECT,
    define,
    people_of,
    write_csv,
)
from support.crash.leaks import files_under, scan
from support.crash.log_reading import close_kept
from support.crash.records import Records, Terms, read_lines, read_log
from support.crash.scenario import CONNECTIONS, Scenario
from support.crash.workers import dump_of
from support.fork_server import ForkingWorkspace
from support.no_fault import assert_no_fault
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Users
from support.servers.smtp import SmtpServer, smtp_url
from support.watching import replace as replace_file
from support.watching import watching

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.crash.checker import Verdict
    from support.crash.records import Person
    from support.watching import Watch

HOUR = 3600.0
#: The day begins at six in the morning; it lies in the past, so that the servers' times are never before the program's.
START = datetime(2026, 3, 2, 6, tzinfo=UTC).timestamp()
NAMES = tuple(DEFINITIONS)
#: From when on no watch is killed, when a campaign file is broken, when it is repaired, and when watches are killed
#: again (hours of the day): a watch does not start with a broken file.
_BROKEN = (1.5, 2.5, 4.5, 5.0)


class Life(NamedTuple):
    """A watch, and when it is killed (seconds since the epoch)."""

    watch: Watch
    until: float


@dataclass
class Day:
    """One day in a folder of its own."""

    folder: Path
    seed: int = 1
    carts: int = 90
    customers: int = 120
    joining: int = 90
    #: How many seconds pass in a second of the machine.
    speed: float = 900.0
    #: A watch is killed about once in this number of hours.
    kill_every: float = 3.0
    #: The URL of the log in PostgreSQL; None: it is a file.
    url: str | None = None
    #: How many watches share the log.
    watches: int = 1
    say: Callable[[str], None] = lambda _: None
    killed: int = 0

    def __post_init__(self) -> None:  # noqa: D105
        self._dice = random.Random(self.seed)  # noqa: S311 - not for secrets
        numbers = {"cart": self.carts, "promotion": self.customers, "waitlist": self.joining}
        self._people = {name: people_of(name, number, self._dice) for name, number in numbers.items()}
        self._abandoned = sorted(START + HOUR * self._dice.uniform(-1, 8) for _ in self._people["cart"])
        self._joined = sorted(START + HOUR * self._dice.uniform(-6, 12) for _ in self._people["waitlist"])

    def play(self) -> dict[str, Verdict]:
        """Return the verdict on each campaign after the day and one more run of each."""
        key, password = f"sk_test_{secrets.token_hex(20)}", f"p{secrets.token_hex(12)}"
        with ExitStack() as stack:
            self._serve(stack, key, password)
            stack.callback(close_kept, str(self._log))
            self._began = time.time()
            self._play()
            self._end_pauses()
            begun = time.monotonic()
            for name in NAMES:
                done = self._work.campaign("run", self._file(name), "--yes", "--no-wait")
                assert done.returncode in {0, 1}, done.stderr
            return {name: self._verdict(name, begun, {"the key": key, "the password": password}) for name in NAMES}

    def _end_pauses(self) -> None:
        """End what watches told of each other's pauses, which last as long here as in their time: it passes faster."""
        if self.url is not None:
            with psycopg.connect(self.url, autocommit=True) as log:
                log.execute("DELETE FROM campaign.pause")

    def unfinished(self) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of each campaign that are still to be sent."""
        return {name: [row for row in self._rows(name) if row["state"] == "queued"] for name in NAMES}

    def too_early(self) -> list[str]:
        """Return a sentence for each reminder that was sent before its time, worked out from the log's instants."""
        due = {person.key: at for person, at in zip(self._people["cart"], self._abandoned, strict=True)}
        wrong, first = [], dict[str, float]()
        for one in read_log(self._log, "cart").transitions:
            if one.new == "sending":
                earliest = due[one.key] + HOUR if one.step == "first" else first[one.key] + 6 * HOUR
                if one.step == "first":
                    first[one.key] = one.at
                if one.at < earliest:
                    wrong.append(f"{one.key} {one.step}: {earliest - one.at:.0f} s too early")
        return wrong

    def later_subjects(self) -> set[str]:
        """Return the subjects of the mails to the customers that came after the campaign file had changed."""
        late = {person.email for person in self._people["promotion"][self.customers // 2 :]}
        return {event["subject"] for event in self._smtp.events("accept") if event["rcpt"][0] in late}

    @property
    def _log(self) -> str | Path:
        return self.url or self._work.log

    # -- the day -------------------------------------------------------------------------------------------------

    def _serve(self, stack: ExitStack, key: str, password: str) -> None:
        scenario = Scenario(seed=self.seed, witness=False)
        self._work = ForkingWorkspace(self.folder)
        stack.callback(self._work.end)
        self._write()
        everybody = self.folder / "everybody.csv"
        known = [person for name in ("cart", "promotion") for person in self._people[name]]
        write_csv(everybody, [*known, *self._joined_by(START)])
        users = Users(
            csv=str(everybody),
            waitlist=True,
            already=tuple(person.user_id for person in known),
            statuses={person.user_id: "completed" for person in known},
        )
        clerk = replace(scenario.clerk(everybody, key=key), users=users)
        # another watch may have recovered the row meanwhile
        in_file = "FROM delivery WHERE slot = '' AND state IN ('sending', 'uncertain')"
        found = in_file if self.url is None else "FROM history WHERE new_state = 'sending'"
        smtp = replace(
            scenario.smtp(self._log, password=password),
            witness=(str(self._log), f"SELECT 1 {found} AND message_id = :message_id"),
        )
        records = self.folder / "records"
        records.mkdir()
        self._clerk = stack.enter_context(ClerkServer(clerk, record=records / "clerk.jsonl"))
        self._smtp = stack.enter_context(SmtpServer(smtp, record=records / "smtp.jsonl"))
        self._work.serve_by(clerk=self._clerk.url, smtp=smtp_url(smtp, self._smtp.port))
        self._work.environment |= {"CLERK_SECRET_KEY": key, "CAMPAIGN_REPLY_TIMEOUT": "3s"}
        self._work.environment["CAMPAIGN_LOG"] = str(self._log)

    def _write(self) -> None:
        for name, text in DEFINITIONS.items():
            (self.folder / name).mkdir()
            define(self.folder / name, text)
            (self.folder / name / "email.html").write_text(HTML, encoding="utf-8")
        self._happen(START)
        write_csv(self.folder / "promotion/customers.csv", self._people["promotion"][: self.customers // 2])

    def _play(self) -> None:
        events: list[tuple[float, Callable[[], None]]] = [
            (at, partial(self._happen, at)) for at in (START + HOUR * hour for hour in range(1, 13))
        ]
        promotion = self.folder / "promotion"
        events += [
            (START + _BROKEN[1] * HOUR, lambda: define(promotion, "[recipients]\nfile = 3\n")),
            (START + _BROKEN[2] * HOUR, lambda: define(promotion, DEFINITIONS["promotion"], subject=LATER_SUBJECT)),
            (START + 5.5 * HOUR, self._all_customers),
        ]
        events.sort(key=lambda event: event[0])
        with ExitStack() as stack:
            lives = [self._begin(stack) for _ in range(self.watches)]
            while True:
                while events and self._now() >= events[0][0]:
                    events.pop(0)[1]()
                is_late = not events and self._now() > START + 18 * HOUR
                for number, life in enumerate(lives):
                    assert life.watch.process.poll() is None, life.watch.told
                    if self._now() >= life.until and not is_late:
                        self._kill(life.watch)
                        lives[number] = self._begin(stack)
                if is_late and self._is_done():
                    for life in lives:
                        assert life.watch.stop() == 0, life.watch.told
                    return
                time.sleep(0.05)

    def _begin(self, stack: ExitStack) -> Life:
        lives = self.kill_every * HOUR * self._dice.uniform(0.5, 1.5)
        # some are killed while they start
        until = self._now() + (self._dice.uniform(0.2, 1.5) * self.speed if self._dice.random() < 0.2 else lives)
        if _BROKEN[0] <= (until - START) / HOUR < _BROKEN[3]:
            until = START + _BROKEN[3] * HOUR
        of = (sys.executable, "-m", "support.crash.fast_watch", str(self._began), str(START), str(self.speed))
        self._work.environment["PYTHONPATH"] = f"{ROOT}:{TESTS}"
        return Life(stack.enter_context(watching(self._work, *map(self._file, NAMES), "--yes", of=of)), until)

    def _kill(self, watch: Watch) -> None:
        watch.process.kill()
        watch.process.wait()
        assert_no_fault(watch.told)
        assert "this is a bug" not in watch.told, watch.told
        self.killed += 1
        self.say(f"{self._clock()}: kill {self.killed}, {len(self._smtp.events('accept'))} accepted")

    def _is_done(self) -> bool:
        """Return whether nothing is left but steps whose step before did not go out."""
        rows = self._rows("cart")
        sent = {row["key"] for row in rows if row["step"] == "first" and row["state"] == "sent"}
        waits = sum(row["step"] == "second" and row["state"] == "queued" and row["key"] not in sent for row in rows)
        states = [self._status(name) for name in NAMES]
        left = sum(found["queued"] + found["issuing"] + found["sending"] for found in states)
        everybody = all(
            found["recipients"] == len(self._people[name]) for name, found in zip(NAMES, states, strict=True)
        )
        unsettled = any(read_log(self._log, name).unsettled for name in NAMES)
        return everybody and left == waits and not unsettled

    def _happen(self, now: float) -> None:
        """Let everything be that happened until an instant: the shop exports its carts, people join the waitlist."""
        carts = zip(self._people["cart"], self._abandoned, strict=True)
        lines = ["user_id,email,abandoned_at"]
        for person, at in carts:
            if at <= now:
                lines.append(f"{person.user_id},{person.email},{datetime.fromtimestamp(at, UTC).isoformat()}")
        replace_file(self.folder / "cart/carts.csv", "\n".join([*lines, ""]))
        if now > START:
            for person in self._joined_by(now)[len(self._joined_by(now - HOUR)) :]:
                self._clerk.join(person.user_id, person.email)

    def _all_customers(self) -> None:
        write_csv(self.folder / "promotion/customers.csv", self._people["promotion"])

    def _joined_by(self, now: float) -> list[Person]:
        people = zip(self._people["waitlist"], self._joined, strict=True)
        return [person for person, at in people if at <= now]

    def _now(self) -> float:
        return START + (time.time() - self._began) * self.speed

    def _clock(self) -> str:
        return f"{datetime.fromtimestamp(self._now(), UTC):%d %b %H:%M}"

    def _file(self, name: str) -> str:
        return f"{name}/campaign.toml"

    # -- the evidence --------------------------------------------------------------------------------------------

    def _rows(self, name: str) -> list[dict[str, Any]]:
        lines = self._said("log", name, "--format", "jsonl").splitlines()
        return [json.loads(line) for line in lines]

    def _status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._said("status", name, "--json"))
        return found

    def _said(self, command: str, name: str, *options: str) -> str:
        done = self._work.campaign(command, self._file(name), *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _verdict(self, name: str, epilogue: float, secret: dict[str, str]) -> Verdict:
        """Return the verdict on one campaign, from what the servers recorded about its people."""
        people, file = self._people[name], read_log(self._log, name)
        users, addresses = {person.user_id for person in people}, {person.email for person in people}
        smtp, clerk = (read_lines(self.folder / f"records/{server}.jsonl") for server in ("smtp", "clerk"))
        tokens = {event["id"]: event["user_id"] for event in clerk if event["event"] == "token"}
        records = Records(
            people=people,
            rows=self._rows(name),
            status=self._status(name),
            transitions=file.transitions,
            orphans=file.orphans,
            unsettled=file.unsettled,
            creations=file.creations,
            smtp=[event for event in smtp if not event.get("rcpt") or event["rcpt"][0] in addresses],
            clerk=[
                event
                for event in clerk
                if (event.get("user_id") or tokens.get(event.get("id", ""), "")) in users
                or event["event"] not in {"token", "user", "revoked", "used"}
            ],
            terms=Terms(
                connections=CONNECTIONS * self.watches,
                attempts=ATTEMPTS,
                first_delay=FIRST_DELAY_S,
                finished=name != "cart",  # a step waits for ever for one before it that did not go out
                epilogue=epilogue,
            ),
        )
        if self.url:
            (self.folder / "dump.txt").write_text(dump_of(self.url), encoding="utf-8")
        places = files_under(self.folder, without=(self.folder / "records").iterdir())
        leaks = scan(places, tokens=tokens_of(clerk), secrets=secret)
        return check(replace(records, leaks=leaks, scanned=len(places)))


def tokens_of(clerk: list[dict[str, Any]]) -> list[str]:
    """Return all tokens that Clerk issued."""
    return [str(event["token"]) for event in clerk if event["event"] == "token"]
