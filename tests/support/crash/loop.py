"""Run the crash loop: faulty servers, a sender that is killed again and again, and a final verdict: `Loop`."""

from __future__ import annotations

import argparse
import random
import secrets
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from support.crash.bystander import Bystander
from support.crash.checker import check
from support.crash.leaks import files_under, scan
from support.crash.records import Records, read_log, read_records, read_states
from support.crash.scenario import CAMPAIGN, Scenario
from support.crash.sender import BrokenRunError, Sender
from support.servers.background import ServerProcess
from support.servers.postgres import postgres
from support.servers.smtp import smtp_url

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from support.crash.checker import Verdict


#: A number of acceptances, and what happens beside the run once they are reached.
_Happening = tuple[float, "Callable[[], None]"]

#: The share of kills that happen soon after the start of a run, at any stage.
_EARLY = 0.15


class Growth:
    """Counts an event in a server's growing record, by default the acceptances, reading each part only once."""

    def __init__(self, path: Path, event: str = "accept") -> None:
        self._path = path
        self._event = f'"event": "{event}"'.encode()
        self._read = 0
        self._number = 0

    def look(self) -> int:
        """Return how often it happened so far."""
        if not self._path.exists():
            return 0
        with self._path.open("rb") as record:
            record.seek(self._read)
            news = record.read()
        self._read += len(news)
        self._number += news.count(self._event)
        return self._number


@dataclass(frozen=True)
class Progress:
    """How far a run is: the log's rows by state, and what the servers did."""

    states: Counter[str]
    tokens: int
    accepted: int


@dataclass
class Loop:
    """One crash loop in its own folder."""

    scenario: Scenario
    kills: int
    folder: Path
    #: The command to start instead of `python -m campaign`.
    command: Sequence[str] | None = None
    say: Callable[[str], None] = lambda _: None
    #: The URL of a database without a log, instead of a file.
    log: str | None = None
    #: How often the run is frozen (SIGSTOP), and for how many seconds each time.
    freezes: int = 0
    frozen_for: float = 4.0
    #: How often people say no, and how often mails come back, beside the runs.
    beside: int = 3
    #: Run once more at the end, to check that nothing is sent then.
    once_more: bool = True
    #: Instead of `kills` at random moments: one, as soon as this is true of the run's progress.
    kill_when: Callable[[Progress], bool] | None = None
    killed: int = 0
    frozen: int = 0
    _beside: list[Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:  # noqa: D105
        self._dice = random.Random(self.scenario.seed * 104_729)  # noqa: S311 - not for secrets

    def run(self) -> Verdict:
        """Return the verdict after all kills, the last run and the extra run."""
        work, records = self.folder / "work", self.folder / "records"
        work.mkdir(parents=True)
        records.mkdir()
        campaign, log = self.scenario.write(work), self.log or work / "send-log.db"
        key = f"sk_test_{secrets.token_hex(20)}"
        password = f"p/{secrets.token_hex(12)}@"
        smtp_script = self.scenario.smtp(log, password=password)
        with ExitStack() as stack:
            smtp = stack.enter_context(ServerProcess("smtp", smtp_script, records))
            clerk_script = self.scenario.clerk(work / "people.csv", key=key)
            clerk = stack.enter_context(ServerProcess("clerk", clerk_script, records))
            sender = Sender(
                folder=work,
                campaign=campaign,
                log=log,
                key=key,
                clerk_url=f"http://127.0.0.1:{clerk.port}",
                smtp_url=smtp_url(smtp_script, smtp.port),
            )
            if self.command is not None:
                sender.command = self.command
            bystander = Bystander(sender, smtp.path, self._dice)
            if self.kill_when is None:
                self._all_runs(sender, bystander, Growth(smtp.path))
            else:
                self._kill_once(sender, Growth(clerk.path, "token"), Growth(smtp.path), self.kill_when)
            listed = bystander.listed()
            epilogue = self._epilogue(sender) if self.once_more else None
            rows, status = sender.rows(), sender.status()
        unread = [row["reason"] for row in rows if str(row["reason"]).startswith("line ")]
        assert not unread, f"the scenario's CSV is not what the sender reads: {unread[0]}"
        secret = {"the secret key": key, "the mail server's password": password}
        found = self._collect(sender, epilogue, rows=rows, status=status, recorded=records, secret=secret)
        return check(replace(found, suppressed=bystander.suppressed, listed=listed, returned=bystander.returned))

    def _all_runs(self, sender: Sender, bystander: Bystander, growth: Growth) -> None:
        """Kill the run and resume it, while people say no and mails come back; then let the program read the rest."""
        if self.beside:
            bystander.say_no()
        with ThreadPoolExecutor(1) as beside:
            self._kill_and_resume(sender, growth, self._happenings(sender, bystander, beside))
        for done in self._beside:
            done.result()
        if self.beside and "not settled" in (said := bystander.read_returned()):
            raise BrokenRunError(f"a mail came back, and no run has settled it:\n{said}")

    def _kill_and_resume(self, sender: Sender, growth: Growth, happenings: list[_Happening]) -> None:
        dice = random.Random(self.scenario.seed * 7919)  # noqa: S311 - not for secrets
        most = self.scenario.recipients - max(40, self.scenario.recipients * 0.15)  # a kill on a busy machine is late
        kills = sorted(dice.uniform(0.0, most) for _ in range(self.kills))
        meanwhile = self._meanwhile(growth, happenings)
        for wanted in kills:
            code = sender.run_until(self._moment(dice, growth, wanted, meanwhile))
            if code is not None:
                break
            self.killed += 1
            self.say(f"kill {self.killed}: {growth.look()} accepted")
        else:
            code = sender.run_until(meanwhile)
        self.say(f"the last run ended with {code} after {self.killed} kills and {self.frozen} naps")

    def _kill_once(self, sender: Sender, tokens: Growth, accepted: Growth, when: Callable[[Progress], bool]) -> None:
        def now() -> bool:
            return when(Progress(read_states(sender.log), tokens.look(), accepted.look()))

        if sender.run_until(now) is None:
            self.killed += 1
            sender.run_until(_never)

    def _happenings(self, sender: Sender, bystander: Bystander, beside: ThreadPoolExecutor) -> list[_Happening]:
        """Return what happens beside the runs, each with the number of acceptances at which it does, in order."""

        def freeze() -> None:
            sender.freeze(self.frozen_for)
            self.frozen += 1

        def in_another_thread(act: Callable[[], None]) -> None:  # since a kill must not wait for it
            self._beside.append(beside.submit(act))

        each: list[Callable[[], None]] = [freeze] * self.freezes
        each += [partial(in_another_thread, act) for act in (bystander.say_no, bystander.return_mails)] * self.beside
        found = [(self._dice.uniform(0.05, 0.8) * self.scenario.recipients, happening) for happening in each]
        return sorted(found, key=lambda one: one[0])

    def _meanwhile(self, growth: Growth, happenings: list[_Happening]) -> Callable[[], bool]:
        """Return a function to poll during a run: what is due happens then, and it always returns False."""

        def now() -> bool:
            if happenings and growth.look() >= happenings[0][0]:
                _, happening = happenings.pop(0)
                happening()
            return False

        return now

    def _moment(
        self, dice: random.Random, growth: Growth, wanted: float, meanwhile: Callable[[], bool]
    ) -> Callable[[], bool]:
        """Return a function that returns True when it is time to kill: mostly while sending, sometimes at start-up."""
        begun, early = time.monotonic(), dice.random() < _EARLY
        after = dice.uniform(0.05, 0.8) if early else dice.uniform(0.0, 0.05)
        reached: list[float] = []

        def now() -> bool:
            meanwhile()
            if early:
                return time.monotonic() - begun > after
            if not reached and growth.look() >= wanted:
                reached.append(time.monotonic())
            return bool(reached) and time.monotonic() - reached[0] >= after

        return now

    def _epilogue(self, sender: Sender) -> float:
        """Run until all revocations are settled, and return when the first of these runs began."""
        begun = time.monotonic()
        for _ in range(10):
            sender.run_until(_never)
            if not read_log(sender.log, CAMPAIGN).unsettled:
                break
        return begun

    def _collect(
        self,
        sender: Sender,
        epilogue: float | None,
        *,
        rows: list[dict[str, object]],
        status: dict[str, object],
        recorded: Path,
        secret: dict[str, str],
    ) -> Records:
        records = read_records(
            sender.log,
            CAMPAIGN,
            people=sender.folder / "people.csv",
            recorded=recorded,
            rows=rows,
            status=status,
            terms=replace(self.scenario.terms(), epilogue=epilogue),
        )
        places = files_under(sender.folder)
        leaks = scan(places, tokens=records.tokens, secrets=secret)
        return replace(records, leaks=leaks, scanned=len(places))


def _never() -> bool:
    return False


def main() -> int:
    """Run the loop with the command-line options and print the verdict; return 0 if every promise holds."""
    parser = argparse.ArgumentParser(prog="python tests/e2e/crash/loop.py", description=__doc__)
    parser.add_argument("--recipients", type=int, default=15_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times; default 1")
    parser.add_argument("--trouble", type=float, default=1.0, help="how many times as often faults strike")
    parser.add_argument("--first-delay", type=float, default=1.0, help="seconds")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds the mail server takes for a message")
    parser.add_argument("--messages", help='a rate such as "200/second"')
    parser.add_argument("--tokens", default="1000/10 seconds", help="by default what Clerk allows a live key")
    parser.add_argument("--no-link", action="store_true", help="without sign-in links, and so without tokens")
    parser.add_argument("--waitlist", action="store_true", help="all are on Clerk's waitlist, and need a user each")
    parser.add_argument("--freezes", type=int, default=0, help="how often the sender is stopped for a while")
    parser.add_argument("--beside", type=int, default=3, help="how often people say no, and mails come back, meanwhile")
    parser.add_argument("--frozen-for", type=float, default=4.0, help="seconds")
    parser.add_argument("--postgres", action="store_true", help="keep the send log in a PostgreSQL of its own")
    parser.add_argument("--folder", type=Path, help="keep everything here (made anew)")
    given = parser.parse_args()
    broken = 0
    for seed in given.seed or [1]:
        with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
            server = stack.enter_context(postgres(is_durable=True)) if given.postgres else None
            folder = (given.folder or Path(temporary)) / f"seed-{seed}"
            scenario = Scenario(
                recipients=given.recipients,
                seed=seed,
                first_delay=given.first_delay,
                messages=given.messages,
                tokens=given.tokens,
                link=not given.no_link,
                trouble=given.trouble,
                latency=given.latency,
                waitlist=given.waitlist,
            )
            begun = time.monotonic()
            loop = Loop(
                scenario,
                given.kills,
                folder,
                say=partial(print, flush=True),
                freezes=given.freezes,
                frozen_for=given.frozen_for,
                beside=given.beside,
                log=server.fresh(is_empty=True) if server else None,
            )
            verdict = loop.run()
        print(f"\nseed {seed}, {given.kills} kills, {time.monotonic() - begun:.0f} s\n{verdict.table()}\n", flush=True)
        broken += not verdict.holds
    return 1 if broken else 0
