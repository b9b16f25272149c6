"""Run the crash loop with several workers on one log in PostgreSQL: kills, naps, cuts and restarts, `WorkersLoop`."""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from support.crash.checker import check
from support.crash.leaks import files_under, scan
from support.crash.loop import Growth
from support.crash.records import Records, read_log, read_records, read_states
from support.crash.scenario import CAMPAIGN, CONNECTIONS, Scenario
from support.crash.sender import BrokenRunError, Sender
from support.no_fault import has_fault
from support.servers.background import ServerProcess
from support.servers.database_proxy import DatabaseProxy
from support.servers.postgres import postgres, standby_of
from support.servers.smtp import smtp_url

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from support.crash.checker import Verdict
    from support.servers.postgres import Postgres

#: The program itself.
WHOLE = (sys.executable, "-m", "campaign")
#: The lease that the sender makes of `CAMPAIGN_REPLY_TIMEOUT` (3 s, see `Sender`), and its beats.
LEASE_S = 13.75
_BEAT_S = LEASE_S / 10
#: The dot comes while the lease holds that the intent had. It may wait for a second permit, some seconds.
_INTENT_HOLDS_S = LEASE_S - _BEAT_S
#: A nap or a cut that outlasts the lease, and a beat.
_TOO_LONG_S = LEASE_S + 3
#: The shortest and the longest stop of a process that is to be late with its permits, and keep its lease (seconds).
_DOZE_S = (0.05, 3.0)
#: How long a proxy refuses all connections (seconds).
_CUT_S = 3.0
#: All workers must have ended by then (seconds).
_PATIENCE_S = 1800

#: The rates of a loop: each of them is the narrowest at some time. The last one is a budget, as a daily limit is.
MESSAGES, TOKENS = "100/second", "110/second"
DOMAINS = (("d0.example", "25/second"), ("d1.example", "100/10 seconds"), ("d2.example", "400/61 seconds"))

#: Note at each intent whether its worker's lease holds, from inside of the database.
_EVIDENCE = """
CREATE TABLE evidence (message_id text, has_lease boolean);
GRANT SELECT ON evidence TO PUBLIC;
CREATE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO campaign.evidence SELECT NEW.message_id, EXISTS (
        SELECT 1 FROM campaign.worker WHERE id = NEW.worker_id AND lease_until > clock_timestamp());
    RETURN NULL;
END;
$$;
CREATE TRIGGER note_lease AFTER UPDATE OF state ON delivery FOR EACH ROW WHEN (NEW.state = 'sending')
EXECUTE FUNCTION note_lease();
"""


class Stage(NamedTuple):
    """What disturbs the workers, or starts and stops them."""

    #: The first one reaches the server through the proxy.
    senders: list[Sender]
    server: Postgres
    proxy: DatabaseProxy
    url: str
    #: The acceptances of the mail server.
    accepted: Growth
    #: Has all that the server has committed; None: there is none.
    standby: Postgres | None = None
    #: The folder of the servers' records.
    records: Path = Path()

    def allow(self, name: str) -> None:
        """Let the servers send the replies that wait for a file of this name (`Delay.until`)."""
        (self.records / name).touch()

    def start(self, number: int) -> subprocess.Popen[bytes]:
        """Start a worker's run."""
        sender = self.senders[number]
        return sender.start("run", str(sender.campaign), "--yes")

    def until(self, happens: Callable[[], bool]) -> None:
        """Return when something has happened."""
        deadline = time.monotonic() + _PATIENCE_S / 10
        while not happens():
            assert time.monotonic() < deadline, _outputs(self.senders)
            time.sleep(0.05)


@dataclass
class WorkersLoop:
    """One loop in its own folder, at a PostgreSQL of its own."""

    scenario: Scenario
    folder: Path
    workers: int = 3
    #: How often a worker is killed, suspended past its lease, cut off past it, and how often the server crashes.
    kills: int = 5
    naps: int = 1
    cuts: int = 1
    restarts: int = 1
    #: How often a worker is suspended shortly.
    dozes: int = 3
    command: Sequence[str] = WHOLE
    say: Callable[[str], None] = lambda _: None
    #: The server has a standby, and all URLs name both.
    has_standby: bool = False
    #: Whether a commit waits for it.
    is_synchronous: bool = True
    #: Instead of what happens at random.
    play: Callable[[Stage], None] | None = None
    #: What happened, in order.
    happened: list[str] = field(default_factory=list)

    def run(self) -> Verdict:
        """Return the verdict after all disturbances, the last run and the extra run."""
        work, records = self.folder / "work", self.folder / "records"
        work.mkdir(parents=True)
        records.mkdir()
        campaign = self.scenario.write(work)
        key, password = f"sk_test_{secrets.token_hex(20)}", f"p/{secrets.token_hex(12)}@"
        with ExitStack() as stack:
            server, url = self._database(stack)
            with psycopg.connect(server.for_admin(url), autocommit=True, options="-c search_path=campaign") as log:
                log.execute(_EVIDENCE)
            standby = (
                stack.enter_context(standby_of(server, is_synchronous=self.is_synchronous))
                if self.has_standby
                else None
            )
            if standby:
                url = url.replace(f":{server.port}/", f":{server.port},127.0.0.1:{standby.port}/")
                url += "?target_session_attrs=read-write"
            proxy = stack.enter_context(DatabaseProxy(server.port))
            smtp_script = self.scenario.smtp(url, password=password)
            clerk_script = self.scenario.clerk(work / "people.csv", key=key)
            with self._place():
                smtp = stack.enter_context(ServerProcess("smtp", smtp_script, records))
                clerk = stack.enter_context(ServerProcess("clerk", clerk_script, records))
            senders = [
                self._placed(
                    stack,
                    Sender(
                        folder=_folder(work, number),
                        campaign=campaign,
                        # only the first worker can be cut off
                        log=url.replace(f":{server.port}/", f":{proxy.port}/") if number == 0 else url,
                        key=key,
                        clerk_url=f"http://127.0.0.1:{clerk.port}",
                        smtp_url=smtp_url(smtp_script, smtp.port),
                        command=self.command,
                    ),
                    number,
                    server,
                    (smtp.port, clerk.port),
                )
                for number in range(self.workers)
            ]
            stack.callback(_kill_all, senders)
            stage = Stage(senders, server, proxy, url, Growth(smtp.path), standby, records)
            if self.play is None:
                self._disturb(stage)
            else:
                self.play(stage)
            last = replace(senders[-1], command=self._on_host(self.workers - 1, WHOLE))
            self._finish(last, url)
            epilogue = time.monotonic()
            for _ in range(10):
                last.run_until(lambda: False)
                if not read_log(url, CAMPAIGN).unsettled:
                    break
            rows, status = last.rows(), last.status()
            found = self._records(url, records, rows=rows, status=status, epilogue=epilogue)
            (work / "dump.txt").write_text(dump_of(url), "utf-8")
        places = files_under(work)
        leaks = scan(
            places, tokens=found.tokens, secrets={"the secret key": key, "the mail server's password": password}
        )
        return check(replace(found, leaks=leaks, scanned=len(places)))

    # -- where everything is, for a subclass ---------------------------------------------------------------------

    def _database(self, stack: ExitStack) -> tuple[Postgres, str]:
        """Return a server and the URL of a log in it, for this process and the mail server."""
        server = stack.enter_context(postgres(is_durable=True))
        return server, server.fresh()

    def _place(self) -> AbstractContextManager[None]:
        """Start servers in the block."""
        return nullcontext()

    def _on_host(self, number: int, command: Sequence[str]) -> Sequence[str]:
        """Return what runs a command where a worker is."""
        del number
        return command

    def _placed(
        self, stack: ExitStack, sender: Sender, number: int, server: Postgres, ports: tuple[int, int]
    ) -> Sender:
        """Return a worker as it reaches the log's server, and the ports of mail server and Clerk."""
        del stack, number, server, ports
        return sender

    # -- the disturbances ----------------------------------------------------------------------------------------

    def _disturb(self, stage: Stage) -> None:
        """Run all workers; start again who was killed; return when all have ended by themselves."""
        senders, server, proxy, _, growth, *_ = stage
        dice = random.Random(self.scenario.seed * 7919)  # noqa: S311 - not for secrets
        kinds = ["kill"] * self.kills + ["nap"] * self.naps + ["cut"] * self.cuts + ["restart"] * self.restarts
        kinds += ["hold"] * self.cuts + ["doze"] * self.dozes
        dice.shuffle(kinds)
        places = sorted(dice.uniform(0.02, 0.8) * self.scenario.recipients for _ in kinds)
        due = list(zip(places, kinds, strict=True))
        later: list[tuple[float, Callable[[], object]]] = []
        for sender in senders:
            _start(sender)
        deadline = time.monotonic() + _PATIENCE_S
        while due or later or any(_is_running(sender) for sender in senders):
            now = time.monotonic()
            if now > deadline:
                raise BrokenRunError(f"the workers did not end:\n{_outputs(senders)}")
            for each in [each for each in later if each[0] <= now]:
                later.remove(each)
                each[1]()
            running = [sender for sender in senders if _is_running(sender)]
            for sender in senders:
                if not _is_running(sender):
                    _must_have_ended_well(sender)
                    # while something is left to happen, it happens to all of them
                    if due:
                        _start(sender)
            if due and running and growth.look() >= due[0][0]:
                _, kind = due.pop(0)
                self._happen(kind, dice.choice(running), server, proxy, later, doze_s=dice.uniform(*_DOZE_S))
            time.sleep(0.01)

    def _happen(
        self,
        kind: str,
        sender: Sender,
        server: Postgres,
        proxy: DatabaseProxy,
        later: list[tuple[float, Callable[[], object]]],
        *,
        doze_s: float,
    ) -> None:
        process = sender.process
        assert process is not None
        self.happened.append(kind)
        now = time.monotonic()
        self.say(f"{now:.2f} {kind}: {sender.folder.name}")
        if kind == "kill":
            process.kill()
            process.wait()
            _must_be_calm(sender)
            _start(sender)
        elif kind in {"nap", "doze"}:
            process.send_signal(signal.SIGSTOP)
            later.append((now + (_TOO_LONG_S if kind == "nap" else doze_s), partial(_wake, process)))
        elif kind == "restart":
            server.crash()
        elif kind == "cut":
            proxy.cut()
            later.append((now + _CUT_S, proxy.join))
        else:
            proxy.hold()
            later.append((now + _TOO_LONG_S, proxy.join))

    def _finish(self, sender: Sender, url: str) -> None:
        """Run until nothing is queued or under way: what a lost worker had is free when its lease has run out."""
        for _ in range(10):
            sender.run_until(lambda: False)
            states = read_states(url)
            if not states["queued"] + states["issuing"] + states["sending"]:
                return
            time.sleep(2)

    def _records(
        self,
        url: str,
        recorded: Path,
        *,
        rows: list[dict[str, Any]],
        status: dict[str, Any],
        epilogue: float,
    ) -> Records:
        with psycopg.connect(url, options="-c search_path=campaign") as log:
            evidence = log.execute("SELECT message_id, has_lease FROM evidence").fetchall()
        records = read_records(
            url,
            CAMPAIGN,
            people=self.folder / "work/people.csv",
            recorded=recorded,
            rows=rows,
            status=status,
            terms=replace(
                self.scenario.terms(),
                connections=CONNECTIONS * self.workers,
                epilogue=epilogue,
                intent_holds_s=_INTENT_HOLDS_S,
            ),
        )
        return replace(
            records,
            unleased=[
                f"{row[0]}: the intent was written after the worker's lease had run out"
                for row in evidence
                if not row[1]
            ],
            leased=sum(row[1] for row in evidence),
        )


def _folder(work: Path, number: int) -> Path:
    folder = work / f"worker-{number}"
    folder.mkdir(exist_ok=True)
    return folder


def _start(sender: Sender) -> None:
    sender.start("run", str(sender.campaign), "--yes")


def _is_running(sender: Sender) -> bool:
    return sender.process is not None and sender.process.poll() is None


def _kill_all(senders: list[Sender]) -> None:
    for sender in senders:
        if sender.process is not None and sender.process.poll() is None:
            sender.process.kill()
            sender.process.wait()


def _wake(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGCONT)


def _must_be_calm(sender: Sender) -> None:
    if has_fault(sender.last_output()):
        raise BrokenRunError(f"a traceback:\n{sender.last_output()[-5000:]}")


def _must_have_ended_well(sender: Sender) -> None:
    _must_be_calm(sender)
    said = sender.last_output()
    code = sender.process.returncode if sender.process else None
    # a run that starts or ends while the server is away may say so
    if code not in {0, 1} and not (code == 3 and "cannot be used" in said):
        raise BrokenRunError(f"a worker ended with {code}:\n{said[-3000:]}")


def _outputs(senders: list[Sender]) -> str:
    return "\n".join(f"{sender.folder.name}: {sender.last_output()[-1500:]}" for sender in senders)


def dump_of(url: str) -> str:
    """Return all that the log has, as text, to look for leaks."""
    with psycopg.connect(url, options="-c search_path=campaign") as log:
        tables = log.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'campaign'").fetchall()
        return "\n".join(
            str(row)
            for (table,) in tables
            for row in log.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
        )


def main() -> int:
    """Run the loop with the command-line options and print the verdict; return 0 if every promise holds."""
    parser = argparse.ArgumentParser(prog="python tests/e2e/crash/workers.py", description=__doc__)
    parser.add_argument("--recipients", type=int, default=15_000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=50, help="kill -9")
    parser.add_argument("--naps", type=int, default=3, help="SIGSTOP for longer than the lease")
    parser.add_argument("--cuts", type=int, default=3, help="a proxy ends or holds the connections of one worker")
    parser.add_argument("--restarts", type=int, default=5, help="pg_ctl restart -m immediate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trouble", type=float, default=1.0, help="how many times as often faults strike")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds the mail server takes for a message")
    parser.add_argument("--dozes", type=int, default=20, help="SIGSTOP for up to 3 seconds")
    parser.add_argument("--messages", default=MESSAGES, help=f"rates of messages, by default {MESSAGES}")
    parser.add_argument("--tokens", default=TOKENS, help=f"rates of calls to Clerk, by default {TOKENS}")
    parser.add_argument("--folder", type=Path, help="keep everything here (made anew)")
    given = parser.parse_args()
    scenario = Scenario(
        recipients=given.recipients,
        seed=given.seed,
        first_delay=1.0,
        messages=given.messages,
        tokens=given.tokens,
        domains=DOMAINS,
        trouble=given.trouble,
        latency=given.latency,
    )
    with tempfile.TemporaryDirectory() as temporary:
        begun = time.monotonic()
        loop = WorkersLoop(
            scenario,
            (given.folder or Path(temporary)) / f"seed-{given.seed}",
            workers=given.workers,
            kills=given.kills,
            naps=given.naps,
            cuts=given.cuts,
            restarts=given.restarts,
            dozes=given.dozes,
            say=partial(print, flush=True),
        )
        verdict = loop.run()
    print(f"\nseed {given.seed}, {time.monotonic() - begun:.0f} s\n{verdict.table()}", flush=True)
    return 0 if verdict.holds else 1
