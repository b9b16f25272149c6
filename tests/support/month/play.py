"""Play a month of the cart campaign against real servers, one run an hour, at the hours' own time: `Month`.

Each run is the program itself, with its clock set to the instant of the run. Between two runs the carts' owners buy,
come back and click, and the shop exports its carts anew. Some runs are killed, and in some a service does not work.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from support import ROOT, TESTS
from support.fork_server import CLOCK_AHEAD_S, ForkingWorkspace
from support.month.carts import DAY, HOUR, exported, made_up_carts, write_csv
from support.month.oracle import Oracle, Tick
from support.no_fault import assert_no_fault
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import ClerkScript, Users
from support.servers.recheck_site import RECHECK_KEY, RecheckSite
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.month.carts import Cart

#: Europe changes its clocks on 25 October 2026, America on 1 November.
BEGIN = datetime(2026, 10, 6, 0, 30, 15, tzinfo=UTC).timestamp()
_OUTAGES = ("mail server", "Clerk", "500 Internal Server Error", "<!doctype html>", '{"keys": {"X-1": {}}}', "[]")
_DEFINITION = """
name = "abandoned-cart"

[recipients]
file = "carts.csv"
key  = "cart_id"

[schedule]
due          = "abandoned_at + 1h"
until        = "abandoned_at + 3d"
hours        = "09:00-20:00"
days         = "Mon-Sat"
zone         = "time_zone"
default_zone = "UTC"

[recheck]
url = "{url}"

[link]
url        = "https://shop.example/welcome"
expires_in = "7d"

[email]
from = "Acme <hello@acme.example>"

[[steps]]
name    = "first"
subject = "first"
html    = "first.html"

[[steps]]
name    = "second"
due     = "first + 23h"
subject = "second"
html    = "second.html"

[unsubscribe]
none = "transactional"

[limits]
tokens = "1000/10 seconds"

[retry]
first_delay = "1s"
"""
_HTML = '<p>Your cart <a href="{{ link_to("/cart/" ~ cart_id) }}">{{ cart_id }}</a></p>\n'


@dataclass
class Month:
    """One month (or a part of it) in a folder of its own."""

    folder: Path
    carts: list[Cart]
    days: float
    seed: int = 1
    #: Hours between two runs.
    every: float = 1.0
    #: The share of runs that are killed, and in which a service does not work.
    kills: float = 0.05
    outages: float = 0.08
    say: Callable[[str], None] = lambda _: None
    killed: int = 0
    failed: int = 0
    _sent: dict[tuple[str, str], float] = field(default_factory=dict)
    _clicked: set[str] = field(default_factory=set)

    def play(self) -> Oracle:
        """Return the oracle after the last run; it has every violation."""
        self._oracle = oracle = Oracle(self.carts)
        dice = random.Random(self.seed * 31)  # noqa: S311 - not for secrets
        everybody = self.folder / "everybody.csv"
        write_csv(everybody, self.carts)
        with ExitStack() as stack:
            self._clerk = stack.enter_context(ClerkServer(ClerkScript(users=Users(csv=str(everybody)))))
            self._smtp = stack.enter_context(SmtpServer(SmtpScript()))
            self._site = stack.enter_context(RecheckSite())
            space = self._workspace()
            stack.callback(space.end)
            # the end is quiet: what waits is sent, or becomes too late
            for now in self._instants():
                is_quiet = now > BEGIN + (self.days - 3) * DAY
                killed = not is_quiet and dice.random() < self.kills
                outage = dice.choice(_OUTAGES) if not is_quiet and not killed and dice.random() < self.outages else ""
                oracle.follow(self._run(space, Tick(now, bool(outage), killed), outage, dice))
                self.say(
                    f"{datetime.fromtimestamp(now, UTC):%d %b %H:%M} {oracle.mailed} mailed {outage}{'killed' * killed}"
                )
            rows = {(row["key"], row["step"]): (row["state"], row["reason"]) for row in space.rows()}
            oracle.reasons(rows, now)
            oracle.violations += [str(event) for event in self._smtp.record.events("violation")]
            unsigned = [event for event in self._site.record.events("request") if not event["signed"]]
            oracle.violations += [f"not signed: {event}" for event in unsigned]
        return oracle

    def _instants(self) -> Iterator[float]:
        now = BEGIN
        while not exported(self.carts, now):
            now += self.every * HOUR
        while now < BEGIN + self.days * DAY:
            yield now
            now += self.every * HOUR

    def _workspace(self) -> ForkingWorkspace:
        space = ForkingWorkspace(self.folder)
        space.serve_by(clerk=self._clerk.url, smtp=self._smtp.url)
        space.environment |= {"CAMPAIGN_RECHECK_KEY": RECHECK_KEY, "CAMPAIGN_REPLY_TIMEOUT": "3s"}
        space.file.write_text(_DEFINITION.format(url=self._site.url), encoding="utf-8")
        for name in ("first.html", "second.html"):
            (self.folder / name).write_text(_HTML, encoding="utf-8")
        return space

    def _run(self, space: ForkingWorkspace, tick: Tick, outage: str, dice: random.Random) -> Tick:
        """Let everything happen that happened before an instant, and run the campaign at it."""
        now = tick.at
        write_csv(self.folder / "carts.csv", exported(self.carts, now))
        self._people_act(now)
        recheck = self._site.recheck
        recheck.standing = {cart.key: {} for cart in self.carts if cart.bought_at is None or cart.bought_at > now}
        recheck.faults = [outage] * 500 if outage and outage not in {"mail server", "Clerk"} else []
        space.serve_by(
            clerk=f"http://127.0.0.1:{_closed_port()}" if outage == "Clerk" else self._clerk.url,
            smtp=f"smtp://127.0.0.1:{_closed_port()}?tls=none" if outage == "mail server" else self._smtp.url,
        )
        before = len(self._smtp.record.events("accept"))
        ahead = now - time.time()
        space.environment[CLOCK_AHEAD_S] = str(ahead)
        if tick.is_killed:
            self._run_and_kill(space, ahead, dice.uniform(0.3, 2.0), before + dice.randrange(1, 12))
        else:
            done = space.run("--no-wait")
            assert_no_fault(done.stderr)
            assert done.returncode in ({0, 1, 3} if outage else {0}), (
                done.returncode,
                outage,
                done.stdout,
                done.stderr,
            )
        self.failed += bool(outage)
        for event in self._smtp.record.events("accept")[before:]:
            mail = (self._key_of(event["rcpt"][0]), event["subject"])
            if mail in self._sent:
                raise AssertionError(f"{mail} was mailed twice")
            tick.arrived[mail] = self._sent[mail] = event["wall"] + ahead
        if tick.is_killed and space.log.exists():
            space.campaign("resolve", "campaign.toml", "--keep")
            tick.taken_as_sent = {
                (row["key"], row["step"])
                for row in space.rows()
                if row["state"] in {"sent", "uncertain"} and (row["key"], row["step"]) not in self._sent
            }
            self._sent |= dict.fromkeys(tick.taken_as_sent, now)
        return tick

    def _people_act(self, now: float) -> None:
        token_of = {event["user_id"]: event["id"] for event in self._clerk.record.events("token")}
        for cart in self.carts:
            if cart.active_at is not None and cart.active_at <= now:
                self._clerk.see(cart.user_id, last_active_at=cart.active_at)
            first = self._sent.get((cart.key, "first"))
            if first is None or cart.clicks_after is None or first + cart.clicks_after > now:
                continue
            if (cart.key, "second") in self._sent or cart.key in self._clicked:
                continue
            self._clicked.add(cart.key)
            if self._clerk.use(token_of[cart.user_id]):
                self._clerk.see(cart.user_id, last_sign_in_at=first + cart.clicks_after)
            else:
                self._oracle.dead_links.add(cart.key)

    def _run_and_kill(self, space: ForkingWorkspace, ahead: float, after: float, accepted: int) -> None:
        """Start a run, and kill it after some seconds, or as soon as so many messages in all were accepted."""
        environment = {name: value for name, value in space.environment.items() if name != CLOCK_AHEAD_S}
        space.environment, kept = (
            environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])},
            space.environment,
        )
        of = (sys.executable, "-m", "support.faults.leaping_clock", "wall", str(ahead), "/")
        process = space.start("run", "campaign.toml", "--yes", "--no-wait", of=of)
        space.environment = kept
        until = time.monotonic() + after + 10
        began: float | None = None
        while process.poll() is None and time.monotonic() < until:
            if (found := len(self._smtp.record.events("accept"))) >= accepted:
                break
            if found and began is None:
                began = time.monotonic()
            if began is not None and time.monotonic() - began > after:
                break
            time.sleep(0.003)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            self.killed += 1
        process.communicate()

    def _key_of(self, address: str) -> str:
        return f"C-{address.partition('@')[0].removeprefix('u')}"


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> int:
    """Play a month with the command-line options; return 0 if every cart got exactly its mails."""
    parser = argparse.ArgumentParser(prog="python tests/e2e/month/play.py", description=__doc__)
    parser.add_argument("--carts", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=31.0)
    parser.add_argument("--every", type=float, default=1.0, help="hours between two runs")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        carts = made_up_carts(given.carts, seed=given.seed, begin=BEGIN, days=given.days - 4)
        month = Month(
            Path(folder), carts, given.days, given.seed, given.every, say=lambda line: print(line, flush=True)
        )
        oracle = month.play()
    print(f"{oracle.mailed} mails, {month.killed} kills, {month.failed} runs with an outage")
    print("\n".join(oracle.violations[:50]) or "every cart got exactly its mails")
    return 1 if oracle.violations else 0
