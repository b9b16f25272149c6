"""Faults of the mail server in a whole run: refused logins, throttling, lost connections, outages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.environment import environment, wait_for
from support.refusals import refused
from support.servers.script import Delay, Drop, Extra, Fault, Reply
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.variants import variants

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.certificates import Certificate
    from support.servers.script import Action

LIMITS = '[limits]\nconnections = 4\ntokens = "1000/second"\n[retry]\nfirst_delay = "300ms"\n'
LOGIN = ("acme", "p@ss/word")


def test_a_login_refused_at_the_start(tmp_path: Path) -> None:
    """A refused password stops the run with exit 3 after at most two tries, before a token is requested."""
    smtp = SmtpScript(credentials=LOGIN, faults=(Fault("auth", Reply("535 5.7.8 Wrong password")),))
    with environment(tmp_path, 20, smtp=smtp, more=LIMITS) as env:
        refused(env.work.run(), "535", "CAMPAIGN_SMTP_URL", code=3)
        assert len(env.smtp.events("auth")) <= 2
        assert not env.tokens
        assert env.work.status()["queued"] == 20


MIDWAY = {
    "535 at a new connection": (
        Fault("auth", Reply("535 5.7.8 Wrong password"), skip=1),
        Fault("mail", Reply("421 4.7.0 Enough", close=True), skip=4, times=1),
    ),
    "530 at MAIL": (Fault("mail", Reply("530 5.7.0 Authentication required"), skip=8),),
    "MAIL refused": (Fault("mail", Reply("550 5.1.8 Sender not allowed"), skip=8),),
}


@pytest.mark.parametrize("what", variants(MIDWAY))
def test_a_login_refused_mid_run(what: str, tmp_path: Path) -> None:
    """If the server refuses logins in the middle of a run, the rest stays queued and unused tokens are revoked."""
    slow = Fault("dot", Delay(0.05))
    smtp = SmtpScript(credentials=LOGIN, faults=(*MIDWAY[what], slow))
    with environment(tmp_path, 60, smtp=smtp, more=LIMITS) as env:
        refused(env.work.run(), "mail server", code=3)
        verdict = env.verdict(connections=4, finished=False)
        assert verdict.holds, verdict.table()
        assert 0 < verdict.states["sent"] < 60
        assert verdict.states["sent"] + verdict.states["queued"] == 60
        bad = [event for event in env.smtp.events("auth") if not event["ok"]]
        assert len(bad) <= 2, "a refused login is tried at most twice"


TEMPORARY: dict[str, tuple[Fault, ...]] = {
    "greylisting": (Fault("rcpt", Reply("451 4.7.1 Greylisted"), per="recipient", lasting=0.25),),
    "452 too many recipients": (Fault("rcpt", Reply("452 4.5.3 Too many recipients"), every=4),),
    "552 at RCPT": (Fault("rcpt", Reply("552 5.5.3 Too many recipients"), every=4, times=3),),
    "454 after the message": (Fault("dot", Reply("454 4.7.0 Throttling failure: rate exceeded"), skip=11, times=1),),
    "452 after the message": (Fault("dot", Reply("452 4.3.1 Out of storage"), every=12),),
    "421 each few messages": (Fault("mail", Reply("421 4.7.0 Closing", close=True), per="connection", skip=3),),
    "451 at MAIL": (Fault("mail", Reply("451 4.3.0 Busy"), skip=5, times=3),),
}

LIMITED: dict[str, SmtpScript] = {
    "421 at RCPT each few messages": SmtpScript(
        faults=(Fault("rcpt", Reply("421 4.7.0 Enough", close=True), per="connection", skip=3),)
    ),
    "421 at DATA each few messages": SmtpScript(
        faults=(Fault("data", Reply("421 4.7.0 Enough", close=True), per="connection", skip=3),)
    ),
    "421 at the dot each few messages": SmtpScript(
        faults=(Fault("dot", Reply("421 4.7.0 Enough", close=True), per="connection", skip=3),)
    ),
    "432 above two submissions": SmtpScript(submissions=2, faults=(Fault("dot", Delay(0.02)),)),
    "454 for the sending rate": SmtpScript(
        faults=(Fault("dot", Reply("454 4.7.0 Throttling failure: Maximum sending rate exceeded."), skip=11, times=1),)
    ),
}


@pytest.mark.parametrize(
    "what", variants(LIMITED, "421 at RCPT each few messages", "432 above two submissions", "454 for the sending rate")
)
def test_a_servers_own_limits_cost_no_token(what: str, tmp_path: Path) -> None:
    """A message that meets a limit of session, submissions or speed is sent again with its token, as one attempt."""
    with environment(tmp_path, 24, smtp=LIMITED[what], more=LIMITS.replace("300ms", "30s")) as env:
        done = env.work.run(timeout=20)
        assert (done.returncode, done.stderr) == (0, "")
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()
        assert len(env.tokens) == len(env.accepted) == 24
        assert not env.revoked
        assert all(row["attempts"] == 1 for row in env.work.rows())
        assert env.smtp.events("refuse"), "the limit was met"


def test_a_refused_name_stops_the_run(tmp_path: Path) -> None:
    """A server that refuses the name at EHLO ends the run with the setting that helps, and that setting helps."""
    faults = (Fault("ehlo", Reply("550 5.7.1 Invalid EHLO"), times=1),)
    with environment(tmp_path, 3, smtp=SmtpScript(faults=faults), more=LIMITS) as env:
        said = refused(env.work.run(), "mail server", code=3)
        assert "set CAMPAIGN_EHLO to" in said
        assert not env.tokens
        env.work.environment["CAMPAIGN_EHLO"] = "mail.acme.example"
        assert env.work.run().returncode == 0
        assert {event["name"] for event in env.smtp.events("ehlo")[1:]} == {"mail.acme.example"}


@pytest.mark.parametrize("what", variants(TEMPORARY, "greylisting", "421 each few messages"))
def test_temporary_trouble_passes(what: str, tmp_path: Path) -> None:
    """Temporary refusals are retried by the policy until every recipient has one mail with a live link."""
    with environment(
        tmp_path, 24, smtp=SmtpScript(faults=TEMPORARY[what]), more=LIMITS.replace("300ms", "100ms")
    ) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        verdict = env.verdict(connections=4, first_delay=0.1)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] == 24


def test_a_storm_in_one_domain_slows_only_that_domain(tmp_path: Path) -> None:
    """If one domain defers all its messages, the other domains do not wait for it, and no recipient fails."""
    storm = Fault("rcpt", Reply("451 4.7.1 Come back later"), to="*@d0.example", until_others=80)
    limits = LIMITS.replace("300ms", "100ms")
    with environment(tmp_path, 100, smtp=SmtpScript(faults=(storm,)), more=limits) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert "d0.example" in done.stdout, "it is said who is left alone"
        verdict = env.verdict(connections=4, first_delay=0.1)
        assert verdict.holds, verdict.table()
        d0 = [event["rcpt"][0].endswith("@d0.example") for event in env.accepted]
        assert (len(d0), sum(d0)) == (100, 20)
        deferred = [event for event in env.smtp.events("refuse") if event["stage"] == "rcpt"]
        assert 5 <= len(deferred) < 40, "after each pause it was asked twice and not 20 times"


def test_fewer_connections_than_configured(tmp_path: Path) -> None:
    """If the server allows only two connections, the run uses two, without many retries or failed recipients."""
    smtp = SmtpScript(connections=2, faults=(Fault("dot", Delay(0.03)),))
    limits = LIMITS.replace("connections = 4", "connections = 10")
    with environment(tmp_path, 40, smtp=smtp, more=limits) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        verdict = env.verdict(connections=10)
        assert verdict.holds, verdict.table()
        turned_away = [event for event in env.smtp.events("refuse") if event["stage"] == "connect"]
        assert len(turned_away) <= 10
        assert all(row["attempts"] == 1 for row in env.work.rows())


def test_a_server_out_of_reach_ends_a_run_that_may_not_wait(tmp_path: Path) -> None:
    """With `--no-wait` an unreachable server ends the run at once with the reason, and all rows stay queued."""
    with environment(tmp_path, 5) as env:
        env.work.serve_by(smtp="smtp://127.0.0.1:1?tls=none")
        done = env.work.run("--no-wait", timeout=10)
        assert done.returncode == 1
        assert "cannot be reached" in done.stdout + done.stderr
        assert "Nothing was sent, and the run ends because of --no-wait" in done.stdout + done.stderr
        assert env.work.status()["queued"] == 5
        assert not env.tokens


def test_a_server_that_is_gone_for_a_while(tmp_path: Path) -> None:
    """When the server is back the run continues by itself, and only messages at the final dot are uncertain."""
    slow = SmtpScript(faults=(Fault("dot", Delay(0.05)),))
    with environment(tmp_path, 40, more=LIMITS.replace("300ms", "100ms")) as env:
        with SmtpServer(slow, record=tmp_path / "before.jsonl") as before:
            env.work.serve_by(smtp=before.url)
            process = env.work.start("run", "campaign.toml", "--yes")
            wait_for(lambda: len(before.events("accept")) > 10, process)
        time.sleep(0.5)  # noqa: TID251 - the outage takes real time
        assert process.poll() is None
        with SmtpServer(slow, record=tmp_path / "after.jsonl", port=before.port) as after:
            out, err = process.communicate(timeout=60)
        assert err == ""
        status = env.work.status()
        assert status["sent"] + status["uncertain"] == 40, out
        assert status["uncertain"] <= 4
        accepted = [event["rcpt"][0] for server in (before, after) for event in server.events("accept")]
        assert len(accepted) == len(set(accepted))
        assert len(accepted) >= status["sent"]


@pytest.mark.parametrize(
    ("tls", "certificate", "faults"),
    [
        ("starttls", "good", (Fault("starttls", Extra("250 2.0.0 Injected by somebody on the line")),)),
        ("starttls", "self-signed", ()),
        pytest.param("implicit", "expired", (), marks=pytest.mark.long),
        pytest.param("implicit", "wrong-host", (), marks=pytest.mark.long),
        ("starttls", "good", (Fault("starttls", Reply("454 4.7.0 TLS not available")),)),
        pytest.param(
            "starttls", "good", (Fault("ehlo", Reply("250-mail.example\n250 PIPELINING")),), marks=pytest.mark.long
        ),
    ],
)
def test_a_line_that_cannot_be_trusted(
    tls: str, certificate: Certificate, faults: tuple[Fault, ...], tmp_path: Path
) -> None:
    """Without trusted TLS no password is sent, no token requested and no recipient mailed, and the exit code is 3."""
    smtp = SmtpScript(tls=tls, certificate=certificate, credentials=LOGIN, faults=faults)
    with environment(tmp_path, smtp=smtp, more=LIMITS) as env:
        authority = tmp_path / "authority.pem"
        authority.write_bytes(env.smtp.authority)
        env.work.environment["SSL_CERT_FILE"] = str(authority)
        said = refused(env.work.run(), "mail server", code=3)
        assert "check" in said or "another network" in said, "what to do"
        assert not env.smtp.events("auth", "accept", "data")
        assert not env.tokens
        assert env.work.status()["queued"] == 3


POOR: dict[str, SmtpScript] = {
    "HELO only": SmtpScript(helo_only=True),
    "nothing but EHLO": SmtpScript(capabilities=(), size=None),
    "no 8BITMIME": SmtpScript(capabilities=("PIPELINING",)),
    "no PIPELINING": SmtpScript(capabilities=("8BITMIME", "SMTPUTF8")),
}


@pytest.mark.parametrize("what", variants(POOR))
def test_a_server_that_offers_little(what: str, tmp_path: Path) -> None:
    """A server that lacks extensions gets only what it supports, and non-ASCII names arrive."""
    people = [
        {"user_id": f"user_{n}", "email": f"u{n}@example.com", "first_name": name}
        for n, name in enumerate(("Zoë", "王小明", "Bjørn"))
    ]
    with environment(tmp_path, people, smtp=POOR[what], more=LIMITS) as env:
        assert env.work.run().returncode == 0
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()


@pytest.mark.parametrize(
    "poor",
    ["250-mail.example\n250 PIPELINING", pytest.param("250 mail.example", marks=pytest.mark.long)],
    ids=["pipelined", "lockstep"],
)
def test_servers_behind_one_name_that_offer_different_things(poor: str, tmp_path: Path) -> None:
    """If one of several servers behind a name lacks 8BITMIME, it gets 7-bit text, and no attempt is used up."""
    people = [{"user_id": f"user_{n}", "email": f"u{n}@d{n % 5}.example", "first_name": f"Zoë {n}"} for n in range(40)]
    faults = (Fault("ehlo", Reply(poor), skip=1), Fault("dot", Delay(0.02)))
    with environment(tmp_path, people, smtp=SmtpScript(faults=faults), more=LIMITS) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()
        assert len(env.smtp.events("open")) > 1
        assert env.smtp.events("violation") == []


def test_a_message_that_is_too_large(tmp_path: Path) -> None:
    """A message above the server's SIZE fails before DATA, and its token is revoked."""
    people = [
        {"user_id": "user_0", "email": "u0@example.com", "first_name": "Ada", "story": "once more, " * 3000},
        {"user_id": "user_1", "email": "u1@example.com", "first_name": "Bob", "story": "once"},
    ]
    html = '<p>{{ story }}</p><p><a href="{{ link }}">Sign in</a></p>'
    with environment(tmp_path, people, smtp=SmtpScript(size=20_000), html=html, more=LIMITS) as env:
        assert env.work.run().returncode == 1
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()
        assert (verdict.states["sent"], verdict.states["failed"]) == (1, 1)
        assert [event["rcpt"] for event in env.smtp.events("data")] == [["u1@example.com"]]
        assert "20000" in next(row["reason"] for row in env.work.rows() if row["key"] == "user_0")


@pytest.mark.parametrize(
    "action", [Drop(), pytest.param(Reply("421 4.3.2 Closing", close=True), marks=pytest.mark.long)], ids=str
)
def test_a_connection_lost_before_the_dot_is_a_plain_retry(action: Action, tmp_path: Path) -> None:
    """If the server closes at RCPT, at DATA or during the message, no row becomes uncertain."""
    faults = tuple(Fault(at, action, every=5, times=3) for at in ("rcpt", "data", "body"))
    # the dot waits for its permit, so that the server closes before it and not after it
    limits = LIMITS.replace("300ms", "100ms").replace("[limits]", '[limits]\nmessages = "12/second"')
    with environment(tmp_path, 30, smtp=SmtpScript(faults=faults), more=limits) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        verdict = env.verdict(connections=4, first_delay=0.1)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] == 30
