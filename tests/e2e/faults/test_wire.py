"""Faults on the SMTP connection: each affects its own recipient only."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.servers.script import Delay, Drop, Endless, Extra, Fault, Raw, Reply, Reset, Silence, Trickle
from support.servers.smtp_script import SmtpScript
from support.variants import variants

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.script import Action

LIMITS = '[limits]\nconnections = 4\ntokens = "1000/second"\n[retry]\nfirst_delay = "100ms"\n'
LOGIN = ("acme", "p@ss/word")
WAYS = {"pipelined": ("PIPELINING", "8BITMIME"), "lockstep": ("8BITMIME",)}
ways = pytest.mark.parametrize("way", ["pipelined", pytest.param("lockstep", marks=pytest.mark.long)])
GONE = Reply("421 4.3.2 Closing", close=True)

#: By recipient, u0 first: what comes instead of the reply to the final dot, and the row's state.
AFTER_THE_DOT: tuple[tuple[Action, str], ...] = (
    (Drop(done=True), "uncertain"),
    (Drop(), "uncertain"),
    (Reset(done=True), "uncertain"),
    (Silence(done=True), "uncertain"),
    (Raw("what?\r\n", done=True), "uncertain"),
    (Raw("250-2.0.0 Ok\r\n", close=True, done=True), "uncertain"),
    (Endless(done=True), "uncertain"),
    (Endless("250-", done=True), "uncertain"),
    (Trickle("250 2.0.0 Ok, by and by", interval=0.1, done=True), "uncertain"),
    (Reply("354 Go on", done=True), "uncertain"),
    (Reply("300 Perhaps", done=True), "uncertain"),
    (Reply("251 2.1.5 Taken"), "sent"),
    (Reply("299-2.0.0 Well\n299 2.0.0 Taken"), "sent"),
    (Extra("421 4.3.2 Closing", close=True), "sent"),
    (Delay(0.1), "sent"),
)


@ways
def test_what_follows_the_final_dot(way: str, tmp_path: Path) -> None:
    """Any 2xx means `sent`; a reply that is lost, malformed, endless, late or 3xx makes only its own row uncertain."""
    faults = tuple(Fault("dot", action, to=f"u{n}@*", times=1) for n, (action, _) in enumerate(AFTER_THE_DOT))
    smtp = SmtpScript(faults=faults, capabilities=WAYS[way])
    with environment(tmp_path, len(AFTER_THE_DOT) + 5, smtp=smtp, more=LIMITS) as env:
        env.work.environment["CAMPAIGN_REPLY_TIMEOUT"] = "800ms"
        done = env.work.run(timeout=30)
        assert (done.returncode, done.stderr) == (1, "")
        verdict = env.verdict(connections=4, first_delay=0.1)
        assert verdict.holds, verdict.table()
        found = {row["key"]: row["state"] for row in env.work.rows()}
        wanted = {f"user_{n}": state for n, (_, state) in enumerate(AFTER_THE_DOT)}
        assert found == dict.fromkeys(found, "sent") | wanted


@ways
def test_a_goodbye_at_every_command(way: str, tmp_path: Path) -> None:
    """If the server closes with 421 at each command and at every seventh mail, the run reconnects and sends all."""
    stages = ("connect", "ehlo", "auth", "mail", "rcpt", "data", "dot")
    faults = tuple(Fault(at, GONE, skip=2 * place, times=1) for place, at in enumerate(stages))
    smtp = SmtpScript(
        faults=(*faults, Fault("mail", GONE, every=7)), capabilities=WAYS[way], credentials=LOGIN, auth_required=True
    )
    with environment(tmp_path, 40, smtp=smtp, more=LIMITS.replace("100ms", "20ms")) as env:
        done = env.work.run(timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
        verdict = env.verdict(connections=4, first_delay=0.02)
        assert verdict.holds, verdict.table()
        assert {event["stage"] for event in env.smtp.events("fault")} == set(stages)
        assert verdict.states["sent"] == 40


def test_a_connection_that_lies_idle(tmp_path: Path) -> None:
    """Whatever arrives between two messages, each mail gets its own reply and no row loses an attempt."""
    actions = (Reply("421 4.4.2 Idle", close=True), Raw("250 hello?\r\n"), Drop(), Reset())
    people = [{"user_id": f"user_{n}", "email": f"u{n}@d.example", "first_name": "Ada"} for n in range(8)]
    smtp = SmtpScript(faults=tuple(Fault("idle", action, times=1) for action in actions), idle_after=0.18)
    with environment(tmp_path, people, smtp=smtp, more=f'{LIMITS}[limits.domains]\n"d.example" = "3/second"\n') as env:
        done = env.work.run(timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()
        assert {event["action"] for event in env.smtp.events("fault")} == {"Reply", "Raw", "Drop", "Reset"}
        assert {row["attempts"] for row in env.work.rows()} == {1}


@ways
def test_a_line_that_nobody_asked_for(way: str, tmp_path: Path) -> None:
    """An extra line after any command ends the connection and is never taken for another command's reply."""
    too_many = Extra("250 2.0.0 By the way")
    faults = tuple(Fault(at, too_many, skip=n, every=9) for n, at in enumerate(("mail", "rcpt", "data", "dot")))
    smtp = SmtpScript(
        faults=(Fault("rcpt", Reply("550 5.1.1 No such user"), to="u1@*"), *faults), capabilities=WAYS[way]
    )
    limits = LIMITS.replace("100ms", "20ms") + "attempts = 20\n"  # some rows get several extra lines in succession
    with environment(tmp_path, 40, smtp=smtp, more=limits) as env:
        done = env.work.run(timeout=30)
        assert (done.returncode, done.stderr) == (1, "")
        verdict = env.verdict(connections=4, first_delay=0.02, attempts=20)
        assert verdict.holds, verdict.table()
        assert verdict.states["failed"] == 1
        assert "u1@d1.example" not in env.mailed
        assert verdict.states["sent"] + verdict.states["uncertain"] == 39


PERMANENT = {
    "u0@*": ("rcpt", "550 5.1.1 No such user", "RCPT TO was answered: 550 5.1.1 No such user"),
    "u1@*": ("rcpt", "553 5.1.3 Odd address", "RCPT TO was answered: 553 5.1.3 Odd address"),
    "u2@*": ("data", "554 5.6.0 Refused", "DATA was answered: 554 5.6.0 Refused"),
    "u3@*": ("dot", "550 5.6.0 Refused after reading", "550 5.6.0 Refused after reading"),
    "u4@*": ("dot", "552 5.2.2 Mailbox full", "552 5.2.2 Mailbox full"),
}


@ways
@pytest.mark.parametrize("data_after_refusal", [False, True], ids=["554 to DATA", "354 to DATA"])
def test_a_refusal_for_good(way: str, tmp_path: Path, *, data_after_refusal: bool) -> None:
    """A 5xx at RCPT, DATA or the dot fails the row with the server's words and revokes its token; others are mailed."""
    faults = tuple(Fault(at, Reply(text), to=to) for to, (at, text, _) in PERMANENT.items())
    smtp = SmtpScript(faults=faults, capabilities=WAYS[way], data_after_refusal=data_after_refusal)
    with environment(tmp_path, 12, smtp=smtp, more=LIMITS) as env:
        assert env.work.run().returncode == 1
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()
        assert (verdict.states["failed"], verdict.states["sent"]) == (5, 7)
        reasons = {row["email"]: row["reason"] for row in env.work.rows() if row["state"] == "failed"}
        for place, (_, _, words) in enumerate(PERMANENT.values()):
            assert words in reasons[f"u{place}@d{place % 5}.example"]
        assert len(env.revoked) == 5


NOT_READY: dict[str, tuple[Fault, ...]] = {
    "it hangs up": (
        Fault("connect", Drop(), times=1),
        Fault("connect", Reset(), times=1),
        Fault("ehlo", Drop(), times=1),
    ),
    "it says so": (
        Fault("connect", GONE, times=1),
        Fault("ehlo", Reply("451 4.3.0 Not now"), times=1),
        Fault("auth", Reply("454 4.7.0 Temporary authentication failure"), times=1),
    ),
    "it talks without end": (
        Fault("connect", Endless("220-Hello"), times=1),
        Fault("ehlo", Endless(), times=1),
        Fault("auth", Endless("235-"), times=1),
    ),
    "it is something else": (
        Fault("connect", Raw("HTTP/1.1 400 Bad Request\r\n\r\n", close=True), times=1),
        Fault("ehlo", Raw("hello to you, too\r\n"), times=1),
    ),
}


@pytest.mark.parametrize("what", variants(NOT_READY))
def test_a_server_that_is_not_ready_at_first(what: str, tmp_path: Path) -> None:
    """While the server refuses connections or logins no token is requested, and each try comes later than the last."""
    smtp = SmtpScript(faults=NOT_READY[what], credentials=LOGIN, auth_required=True)
    with environment(tmp_path, 5, smtp=smtp, more=LIMITS.replace("100ms", "20ms")) as env:
        done = env.work.run(timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()
        assert len(env.smtp.events("fault")) == len(NOT_READY[what])
        assert {row["attempts"] for row in env.work.rows()} == {1}
        opened = [event["t"] for event in env.smtp.events("open")][: len(NOT_READY[what]) + 1]
        gaps = [later - earlier for earlier, later in pairwise(opened)]
        assert all(gap >= 0.02 * 2**tries for tries, gap in enumerate(gaps))
        assert env.tokens[0]["t"] > opened[-1]
