"""`campaign watch` on a log in PostgreSQL: beside another watch and a run, without its server, and after a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from support.environment import environment
from support.no_fault import assert_no_fault
from support.refusals import refused
from support.servers.clerk_script import ClerkScript, Users
from support.servers.postgres import postgres
from support.servers.script import Delay, Fault, Reply
from support.servers.smtp_script import SmtpScript
from support.watching import csv_of, replace, watching
from support.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment
    from support.servers.postgres import Postgres
    from support.watching import Watch

FEW = '[limits]\nconnections = 4\ntokens = "1000/second"\n'
LINKS = 'renew = true\n[unsubscribe]\nurl = "https://mail.acme.example/u"\n'
HTML = '<a href="{{ link }}">Sign in</a> <a href="{{ unsubscribe }}">No more</a>'
TEXT = "Hi {{ first_name }}\n\n{{ link }}\n\nNo: {{ unsubscribe }}\n"
SLOW = SmtpScript(faults=(Fault("dot", Delay(0.03)),))


@contextmanager
def on(server: Postgres, folder: Path, people: int, *, smtp: SmtpScript = SLOW, **more: Any) -> Iterator[Environment]:  # noqa: ANN401 - as `environment`
    """Yield the campaign `trial`, whose log is in a fresh database, and a Clerk that knows a thousand people."""
    url = server.fresh()
    (folder / "everybody.csv").write_text(csv_of(range(1000)), encoding="utf-8")
    (folder / "work").mkdir()
    clerk = ClerkScript(users=Users(csv=str(folder / "everybody.csv")))
    with environment(folder / "work", people, clerk=clerk, smtp=smtp, **({"more": FEW} | more)) as env:
        # a lease of 16 s, so that a run which was killed is noticed within 2
        env.work.environment |= {"CAMPAIGN_LOG": url, "CAMPAIGN_REPLY_TIMEOUT": "5s"}
        yield env
    server.drop(url)


def cut_off(server: Postgres, env: Environment) -> None:
    """Let the server be away, as far as this log is concerned, until `come_back`."""
    with server.admin() as connection:
        name = env.work.environment["CAMPAIGN_LOG"].rpartition("/")[2]
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,))


def come_back(server: Postgres, env: Environment) -> None:
    """Let the server be there again."""
    with server.admin() as connection:
        connection.execute(
            f"ALTER DATABASE {env.work.environment['CAMPAIGN_LOG'].rpartition('/')[2]} ALLOW_CONNECTIONS true"
        )


def workers(env: Environment) -> list[dict[str, Any]]:
    """Return what `campaign workers --json` prints."""
    return [json.loads(line) for line in env.work.campaign("workers", "--json").stdout.splitlines()]


def in_hand(env: Environment) -> int:
    """Return how many rows the runs have in hand."""
    return sum(each["claimed"] + each["issuing"] + each["sending"] for each in workers(env))


def health(watch: Watch) -> tuple[int, str]:
    """Return the status of `/healthz`, and what it says of the campaign `trial`."""
    if not watch.url:
        assert watch.process.stdout is not None
        while not (found := re.search(r"http://127\.0\.0\.1:\d+(?=/metrics)", watch.process.stdout.readline())):
            assert watch.process.poll() is None, watch.told
        watch.url = found[0]
    try:
        with urllib.request.urlopen(f"{watch.url}/healthz", timeout=60) as answer:  # noqa: S310 - of this machine
            return answer.status, ""
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, json.load(answer).get("campaigns", {}).get("trial", "")


def require_once(env: Environment, people: int) -> None:
    """Check that everybody has one mail, that the log says so, and that nothing is in hand."""
    assert len(env.mailed) == len(set(env.mailed)) == people
    status = env.work.status()
    assert (status["sent"] + status["uncertain"], status["queued"]) == (people, 0)
    assert (status["issuing"], status["sending"]) == (0, 0)


@pytest.mark.long
def test_two_watches_and_a_run_mail_everybody_once(tmp_path: Path, postgres_server: Postgres) -> None:
    """They share the rows, also those that come later; `workers` shows them and which of them ends."""
    slow = SmtpScript(faults=(Fault("dot", Delay(2.0), to="u100@*"), *SLOW.faults))
    with on(postgres_server, tmp_path, 80, smtp=slow) as env:
        other = tmp_path / "work/other"
        other.mkdir()
        Workspace(other).write(2, more=FEW)
        replace(other / "campaign.toml", (other / "campaign.toml").read_text("utf-8").replace('"trial"', '"other"'))
        replace(other / "people.csv", csv_of(range(200, 202)))
        with (
            watching(env.work, "campaign.toml", "other/campaign.toml", "--yes") as first,
            watching(env.work, "campaign.toml", "--yes") as second,
        ):
            first.until(lambda: len(env.accepted) > 10)
            run = env.work.start("run", "campaign.toml", "--yes")
            first.until(lambda: first.events("started") and second.events("started"))
            assert {(each["campaign"], each["pid"]) for each in workers(env)} >= {
                ("trial", first.process.pid), ("other", first.process.pid), ("trial", second.process.pid)
            }  # fmt: skip
            refused(env.work.campaign("resolve", "campaign.toml", "--keep"), "a run uses the send log", code=75)
            first.until(lambda: len(env.accepted) == 82)
            run.communicate(timeout=60)
            replace(tmp_path / "work/people.csv", csv_of(range(101)))
            first.until(lambda: len(env.accepted) >= 102)
            # one of them has the slow message in hand; both are told to end
            for watch in (first, second):
                watch.process.send_signal(signal.SIGTERM)
            first.until(lambda: any(each["draining"] for each in workers(env)))
            assert (first.process.wait(60), second.process.wait(60)) == (0, 0)
        assert workers(env) == []
        assert len(env.mailed) == len(set(env.mailed)) == 103
        assert env.work.status()["sent"] == 101
        assert_no_fault(first.told + second.told)


def test_a_second_campaign_that_began_in_a_file_is_refused(tmp_path: Path, postgres_server: Postgres) -> None:
    """Each campaign of a watch goes on in the log in which it began, not only the first one."""
    with on(postgres_server, tmp_path, 2) as env:
        url = env.work.environment.pop("CAMPAIGN_LOG")
        other = tmp_path / "work/other"
        other.mkdir()
        Workspace(other).write(2, more=FEW)
        replace(other / "campaign.toml", (other / "campaign.toml").read_text("utf-8").replace('"trial"', '"other"'))
        assert env.work.campaign("run", "other/campaign.toml", "--yes").returncode == 0
        env.work.environment["CAMPAIGN_LOG"] = url
        done = env.work.campaign("watch", "campaign.toml", "other/campaign.toml", "--yes")
        refused(done, "'other'", "everybody would be mailed again", code=2)
        assert len(env.accepted) == 2


def metrics(watch: Watch) -> str:
    """Return what `/metrics` says."""
    with urllib.request.urlopen(f"{watch.url}/metrics", timeout=60) as answer:  # noqa: S310 - of this machine
        return str(answer.read().decode())


@pytest.mark.long
def test_a_watch_waits_for_its_server_and_goes_on(tmp_path: Path, postgres_server: Postgres) -> None:
    """Without its server it says so and sends nothing, whether it was sending or waiting, and goes on afterwards."""
    with (
        on(postgres_server, tmp_path, 60) as env,
        watching(env.work, "campaign.toml", "--yes", "--port", "0") as watch,
    ):
        for people in (60, 63):
            watch.until(lambda least=people - 50: len(env.accepted) > least)  # type: ignore[misc]
            cut_off(postgres_server, env)
            watch.until(lambda: health(watch)[0] == 503)
            assert "cannot be used" in health(watch)[1], "its session is cut off, or no new one begins"
            come_back(postgres_server, env)
            watch.until(lambda: health(watch) == (200, ""))
            replace(tmp_path / "work/people.csv", csv_of(range(people)))
            watch.until(lambda wanted=people: len(env.accepted) == wanted)  # type: ignore[misc]
        watch.until(lambda: 'campaign_messages_total{campaign="trial",state="sent"} 63.0\n' in metrics(watch))
        assert 'campaign_errors_total{campaign="trial",kind="log"} 2.0\n' in metrics(watch)
        assert watch.stop() == 0
        require_once(env, 63)
        assert len(watch.events("failed")) == 2
        assert len(watch.events("works")) == 2


def test_a_watch_ends_at_once_while_its_server_is_away(tmp_path: Path, postgres_server: Postgres) -> None:
    """With nothing in hand, a watch that sends and waits for its server ends at the first signal."""
    later = SmtpScript(faults=(Fault("rcpt", Reply("450 4.2.1 Mailbox busy"), to="u1@*"),))
    with (
        on(postgres_server, tmp_path, 3, smtp=later) as env,
        watching(env.work, "campaign.toml", "--yes", "--port", "0") as watch,
    ):
        watch.until(lambda: env.work.status()["waiting"] == {"retry": 1} and not in_hand(env))
        cut_off(postgres_server, env)
        watch.until(lambda: health(watch)[0] == 503)
        assert watch.stop() == 0
        assert watch.events("ended")
        come_back(postgres_server, env)
        status = env.work.status()
        assert (status["sent"], status["queued"], len(env.mailed)) == (2, 1, 2)


@pytest.mark.long
def test_a_watch_takes_over_from_one_that_was_killed(tmp_path: Path, postgres_server: Postgres) -> None:
    """What a killed watch had in hand another one takes up, which had nothing to do, and nobody is mailed twice."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.15)),))
    with on(postgres_server, tmp_path, 100, smtp=slow) as env, watching(env.work, "campaign.toml", "--yes") as first:
        first.until(lambda: len(env.accepted) > 5)
        with watching(env.work, "campaign.toml", "--yes") as second:
            first.until(lambda: second.events("started"))
            first.process.kill()
            first.process.wait()
            assert len(env.accepted) < 100
            assert second.events("cycle") == [], "all rows were in one page of the first"
            second.until(lambda: not any(env.work.status()[each] for each in ("queued", "issuing", "sending")))
            assert second.stop() == 0
        status = env.work.status()
        assert status["sent"] + status["uncertain"] == 100
        assert status["uncertain"] <= 4, "what the killed one had on its connections"
        assert len(env.mailed) == len(set(env.mailed)) >= status["sent"]


@pytest.mark.long
def test_two_versions_of_a_csv_on_their_way(tmp_path: Path, postgres_server: Postgres) -> None:
    """The version read last has the rows; a run with the other one takes them up when both are the same again."""
    with on(postgres_server, tmp_path, 300, more=FEW + 'messages = "40/second"\n') as env:
        there = tmp_path / "there"
        there.mkdir()
        for name in ("campaign.toml", "email.html", "email.txt"):
            os.link(tmp_path / "work" / name, there / name)  # on one machine two files of one name are refused
        replace(there / "people.csv", csv_of(range(299)))
        with watching(env.work, "campaign.toml", "--yes") as here:
            here.until(lambda: len(env.accepted) >= 3)
            with watching(env.work, str(there / "campaign.toml"), "--yes") as other:
                other.until(lambda: other.events("started"))
                here.until(lambda: here.events("cycle"))  # all that is left are the other one's
                assert len(env.accepted) < 270
                replace(there / "people.csv", csv_of(range(300)))
                other.until(lambda: other.events("cycle"))
                assert other.stop() == 0
            assert len(env.accepted) < 300
            here.until(lambda: len(env.accepted) == 300)
            assert here.stop() == 0
        require_once(env, 300)
        assert here.events("failed") == other.events("failed") == []


@pytest.mark.long
def test_a_new_link_beside_a_watch(tmp_path: Path, postgres_server: Postgres) -> None:
    """Two servers of links share the log: who asks gets one mail with a live link, who refuses none."""
    kept = tmp_path / "kept"
    kept.mkdir()
    smtp = SmtpScript(keep=str(kept))
    with (
        on(postgres_server, tmp_path, 3, smtp=smtp, more=LINKS, html=HTML, text=TEXT) as env,
        watching(env.work, "campaign.toml", "--yes") as watch,
    ):
        watch.until(lambda: len(env.accepted) == 3)
        with serving(env) as first, serving(env) as second:
            for server in (first, second, first):
                ask(server, env, kept, "u1@d1.example")
            watch.until(lambda: len(env.accepted) == 4)
            # one who refuses before the watch sends, and one who asks afterwards
            ask(first, env, kept, "u0@d0.example")
            refuse(second, env, kept, "u0@d0.example")
            refuse(second, env, kept, "u2@d2.example")
            ask(first, env, kept, "u2@d2.example")
            watch.until(lambda: env.work.status()["skipped"] == 1)
        assert watch.stop() == 0
        assert [event["rcpt"][0] for event in env.accepted[3:]] == ["u1@d1.example"]
        old, new = (parse_qs(urlsplit(each).query)["token"][0] for each in links(env, kept, "u1@d1.example", "welcome"))
        tokens = {event["token"]: event["id"] for event in env.tokens}
        assert tokens[old] in env.revoked
        assert tokens[new] not in env.revoked


def ask(server: str, env: Environment, kept: Path, address: str) -> None:
    """Ask for a new link, as the landing page of the first mail does."""
    tag = parse_qs(urlsplit(links(env, kept, address, "welcome")[0]).query)["renew"][0]
    assert httpx.post(f"{server}/renew", data={"tag": tag}, trust_env=False).status_code == 200


def refuse(server: str, env: Environment, kept: Path, address: str) -> None:
    """Unsubscribe by the link of the first mail."""
    path = urlsplit(links(env, kept, address, "u/")[0]).path
    assert httpx.post(server + path, trust_env=False).status_code == 200


@contextmanager
def serving(env: Environment) -> Iterator[str]:
    """Yield the origin of a `campaign serve`."""
    process = env.work.start("serve", "campaign.toml", "--port", "0")
    said = ""
    assert process.stdout is not None
    while "Ctrl-C" not in said:
        line = process.stdout.readline()
        assert line, process.communicate()
        said += line
    try:
        found = re.search(r"answered at (http://127\.0\.0\.1:\d+)/renew", said)
        assert found, said
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def links(env: Environment, kept: Path, address: str, path: str) -> list[str]:
    """Return the link in the text of each mail to an address whose path begins so, oldest first."""
    found = []
    for event in env.accepted:
        if event["rcpt"] == [address]:
            text = kept.joinpath(event["sha256"]).read_bytes().replace(b"=\r\n", b"").decode().replace("=3D", "=")
            found.append(re.findall(rf"https://[a-z.]+/{path}[^\s<>]*", text)[0])
    return found


@pytest.mark.long
def test_watches_and_runs_through_restarts_and_kills(tmp_path: Path) -> None:
    """Two watches and runs beside them, five crashes of the server and three kills: everybody has one mail at most."""
    with postgres(is_durable=True) as server, on(server, tmp_path, 900) as env, ExitStack() as stack:
        watches = [stack.enter_context(watching(env.work, "campaign.toml", "--yes")) for _ in range(2)]
        steady = watches[0]
        for number in range(1, 6):
            run = env.work.start("run", "campaign.toml", "--yes")
            steady.until(lambda least=number * 150: len(env.accepted) > least)  # type: ignore[misc]
            if number % 2:
                watches[1].process.kill()
                watches[1].process.wait()
                watches[1] = fresh = stack.enter_context(watching(env.work, "campaign.toml", "--yes"))
                fresh.until(lambda begun=fresh: begun.events("started"))  # type: ignore[misc]
            server.crash()
            run.kill()
            run.communicate()
        steady.until(lambda: not any(env.work.status()[state] for state in ("queued", "issuing", "sending")))
        assert [watch.stop() for watch in watches] == [0, 0]
        verdict = env.work.status()
        assert verdict["sent"] + verdict["uncertain"] == 900
        assert verdict["uncertain"] <= 8 * 4, "what the killed ones had on their connections"
        assert len(env.mailed) == len(set(env.mailed)) >= verdict["sent"]
        assert workers(env) == []
