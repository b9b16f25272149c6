"""Faults of Clerk in a whole run: 429, refusals, lost answers, tokens of other users, unanswered revocations."""

from __future__ import annotations

import itertools
import re
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.environment import environment, wait_for
from support.refusals import refused, table_of
from support.sendlog_helpers import table
from support.servers.clerk_script import Answer, Change, ClerkScript, Impostor, Truncate, error_body, refusal
from support.servers.script import Drop, Endless, Fault, Reset, Silence
from support.variants import variants

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment
    from support.servers.script import Action

LIMITS = '[limits]\nconnections = 4\ntokens = "1000/second"\n[retry]\nfirst_delay = "300ms"\n'
#: Seconds for calls in progress when Clerk answered 429.
UNDER_WAY = 0.3


def clerk(*faults: Fault) -> ClerkScript:
    return ClerkScript(faults=faults, latency=0.02)


def calls_within(env: Environment, start: float, end: float, *, status: int = 429) -> int:
    """Return the number of calls between two times after the first answer with this status."""
    requests = env.clerk.events("request")
    storm = next(event["t"] for event in requests if event["status"] == status)
    return sum(start < event["t"] - storm < end for event in requests)


@pytest.mark.parametrize(
    ("seconds", "as_date"),
    [pytest.param(1, False, id="seconds"), pytest.param(2, True, id="date", marks=pytest.mark.long)],
)
def test_one_hold_for_all(seconds: int, as_date: bool, tmp_path: Path) -> None:
    """After a 429 no call is made until the named time is over; then all recipients are mailed."""
    storm = Answer(429, retry_after=seconds, as_date=as_date, shut=True)
    with environment(tmp_path, 60, clerk=clerk(Fault("create", storm, skip=10, times=1)), more=LIMITS) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()
        # a date is in whole seconds
        assert calls_within(env, UNDER_WAY, 1.0 if as_date else 0.95) == 0
        refusals = [event for event in env.clerk.events("request") if event["status"] == 429]
        # a date is rounded down, so the pause may end before Clerk accepts calls again
        assert len(refusals) <= (60 if as_date else 30), "only calls that were under way"


def test_a_hold_without_a_time(tmp_path: Path) -> None:
    """After a 429 without a time the program waits for the policy's delay."""
    with environment(
        tmp_path, 40, clerk=clerk(Fault("create", Answer(429), skip=10, times=1)), more=LIMITS.replace("300ms", "700ms")
    ) as env:
        assert env.work.run().returncode == 0
        assert calls_within(env, UNDER_WAY, 0.65) == 0


def test_an_outage_costs_no_row_an_attempt(tmp_path: Path) -> None:
    """While Clerk answers 503 it is tried by one call at a time, further and further apart, and nobody fails for it."""
    down = tmp_path / "down"
    down.touch()
    outage = Fault("create", Answer(503), skip=10, while_there=str(down))
    with environment(tmp_path, 60, clerk=clerk(outage), more=LIMITS.replace("300ms", "100ms")) as env:

        def refusals() -> list[float]:
            return [event["t"] for event in env.clerk.events("request") if event["status"] == 503]

        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: refusals() and time.monotonic() - refusals()[0] > 1.2, process)
        down.unlink()
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, ""), out
        verdict = env.verdict(connections=4, first_delay=0.1)
        assert verdict.holds, verdict.table()
        assert verdict.states["sent"] == 60
        assert [row["faults"] for row in table(env.work.log, "SELECT DISTINCT faults FROM delivery")] == [0]
        calls = refusals()
        assert verdict.orphans == len(calls) < 20, "each may have left a token"
        probes = [later - earlier for earlier, later in itertools.pairwise(calls) if later - calls[0] > UNDER_WAY]
        assert len(probes) >= 2
        assert all(gap >= 0.1 for gap in probes), "one at a time"


def test_an_outage_says_how_long_to_wait(tmp_path: Path) -> None:
    """The `Retry-After` of a 503 is kept, as that of a 429 is."""
    outage = Fault("create", Answer(503, retry_after=1), skip=10, times=1)
    with environment(tmp_path, 40, clerk=clerk(outage), more=LIMITS.replace("300ms", "50ms")) as env:
        assert env.work.run().returncode == 0
        assert calls_within(env, UNDER_WAY, 0.95, status=503) == 0


@pytest.mark.parametrize(
    "seconds", [pytest.param(0, id="none"), pytest.param(-60, id="a date in the past", marks=pytest.mark.long)]
)
def test_a_wait_of_nothing_is_no_invitation(seconds: int, tmp_path: Path) -> None:
    """If Clerk refuses calls and names a wait of zero, the program still waits between tries."""
    storm = Answer(429, retry_after=seconds, as_date=seconds < 0)
    refused_for_long = clerk(Fault("create", storm, between=(0.0, 0.8)))
    with environment(tmp_path, 60, clerk=refused_for_long, more=LIMITS.replace("300ms", "100ms")) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (0, "")
        refusals = [event for event in env.clerk.events("request") if event["status"] == 429]
        assert len(refusals) <= 100, "a burst of those under way for each of a few holds"


def test_a_huge_hold_is_capped_and_can_be_left(tmp_path: Path) -> None:
    """A wait of a year is capped at an hour; with `--no-wait` the run ends at once and the rest stays queued."""
    storm = Answer(429, retry_after=31_536_000, shut=True)
    with environment(tmp_path, 60, clerk=clerk(Fault("create", storm, skip=10, times=1)), more=LIMITS) as env:
        began = time.time()
        done = env.work.run("--no-wait", timeout=30)
        assert (done.returncode, done.stderr) == (1, "")
        status = env.work.status()
        assert status["queued"] + status["sent"] == 60
        assert status["failed"] == 0
        latest = max(
            max(value for value in row if isinstance(value, float)) for row in table_of(env.work.log, "delivery")
        )
        assert latest < began + 48 * 3600 + 60
        due = [row for row in env.work.rows() if row["state"] == "queued"]
        assert all(row["attempts"] <= 1 for row in due)


MIDWAY = {
    "401": refusal(401, "clerk_key_invalid"),
    "403": refusal(403, "authorization_invalid"),
    "a redirect": Answer(302, headers={"Location": "https://elsewhere.example/v1"}),
}


@pytest.mark.parametrize("what", variants(MIDWAY))
@pytest.mark.parametrize("at", ["users", "create"])
def test_a_key_refused(at: str, what: str, tmp_path: Path) -> None:
    """A refused key stops the run with exit 3, at the start or in the middle, and no recipient fails."""
    with environment(
        tmp_path, 60, clerk=clerk(Fault(at, MIDWAY[what], skip=10 if at == "create" else 0)), more=LIMITS
    ) as env:
        refused(env.work.run(), "Clerk", code=3)
        verdict = env.verdict(connections=4, finished=False)
        assert verdict.holds, verdict.table()
        assert verdict.states["queued"] + verdict.states["sent"] == 60
        assert verdict.states["queued"] >= 40


def test_a_proxy_of_the_environment_sees_no_key(tmp_path: Path) -> None:
    """Whatever proxy the environment names, the key is sent only to Clerk."""
    with environment(tmp_path, 3, more=LIMITS) as env, closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            for each in (name, name.lower()):
                env.work.environment[each] = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        done = env.work.run(timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_token_for_another_user_stops_the_run(tmp_path: Path) -> None:
    """A token of another user stops the run with exit 3: it is revoked and not sent, and the row stays queued."""
    impostor = Fault("create", Impostor("user_0"), to="user_20")
    with environment(tmp_path, 60, clerk=clerk(impostor), more=LIMITS) as env:
        refused(env.work.run(), "user_0", "user_20", code=3)
        assert "u20@d0.example" not in env.mailed
        wrong = [token["id"] for token in env.tokens if token["user_id"] == "user_0"]
        assert len(wrong) == 2
        assert wrong[1] in env.revoked
        assert env.work.status()["failed"] == 0


#: One fault per recipient, for every other one of the CSV.
LOST: tuple[Action, ...] = (
    Drop(done=True),
    Reset(done=True),
    Truncate(),
    Endless(" " * 500, done=True),
    Answer(500, "<html>oops</html>", done=True),
    Answer(502, "<html>Bad gateway</html>", done=True),
    Answer(503, "", done=True),
    Answer(200, "", done=True),
    Change(without=("token",)),
    Change(without=("id",)),
)


def test_an_answer_that_is_lost_leaves_a_possible_orphan(tmp_path: Path) -> None:
    """Each try whose token's id is unknown is counted and shown, tries are limited, and other recipients succeed."""
    once = [Fault("create", action, to=f"user_{2 * n}", times=1) for n, action in enumerate(LOST)]
    always = [Fault("create", action, to=f"user_{n}") for n, action in ((3, Truncate()), (5, Drop(done=True)))]
    with environment(tmp_path, 20, clerk=clerk(*once, *always), more=LIMITS.replace("300ms", "20ms")) as env:
        done = env.work.run()
        assert (done.returncode, done.stderr) == (1, "")
        verdict = env.verdict(connections=4, first_delay=0.02)
        assert verdict.holds, verdict.table()
        assert (verdict.states["sent"], verdict.states["failed"]) == (18, 2)
        assert len(LOST) + 2 * 5 <= verdict.orphans <= len(LOST) + 2 * 9
        assert f"{verdict.orphans} tokens without a known id may exist at Clerk" in done.stdout


def test_a_user_whom_clerk_will_not_serve(tmp_path: Path) -> None:
    """A 404 skips the row, a 422 or a 403 about the user fails it, with Clerk's words, and the other rows are sent."""
    faults = (
        Fault("create", refusal(404, "resource_not_found"), to="user_3"),
        Fault("create", refusal(422, "form_param_value_invalid"), to="user_5"),
        Fault("create", refusal(403, "user_locked"), to="user_7"),
    )
    with environment(tmp_path, 20, clerk=clerk(*faults), more=LIMITS) as env:
        assert env.work.run().returncode == 1
        verdict = env.verdict(connections=4)
        assert verdict.holds, verdict.table()
        states = {row["key"]: (row["state"], row["reason"]) for row in env.work.rows()}
        assert states["user_3"][0] == "skipped"
        assert "resource_not_found" in states["user_3"][1]
        assert states["user_5"][0] == states["user_7"][0] == "failed"
        assert "user_locked" in states["user_7"][1]
        assert verdict.states["sent"] == 17


LIFETIME = error_body("form_param_value_invalid", param_name="expires_in_seconds")
#: What Clerk would answer for every user, and a word of what to do.
ALIKE = {
    "402": (refusal(402, "payment_required"), "the plan of your Clerk account"),
    "422 for the lifetime": (Answer(422, LIFETIME), "link.expires_in"),
    "410": (refusal(410, "gone"), "upgrade campaign"),
    "422 for each user": (refusal(422, "form_param_value_invalid"), "12 tokens in a row with the same words"),
}


@pytest.mark.parametrize("what", variants(ALIKE, "402", "422 for each user"))
def test_a_refusal_for_every_user_fails_nobody(what: str, tmp_path: Path) -> None:
    """What Clerk refuses to everybody alike stops the run with exit 3 and what to do; all rows stay queued."""
    action, advice = ALIKE[what]
    with environment(tmp_path, 60, clerk=clerk(Fault("create", action, skip=10)), more=LIMITS) as env:
        refused(env.work.run(), advice, code=3)
        verdict = env.verdict(connections=4, finished=False)
        assert verdict.holds, verdict.table()
        assert (verdict.states["sent"], verdict.states["queued"]) == (10, 50)


NO_LIST: dict[str, Action] = {
    "503": Answer(503),
    "a page of a CDN": Answer(403, "<html>Checking your browser</html>"),
    "closed": Drop(),
    "reset": Reset(),
    "half an answer": Truncate(),
    "a page": Answer(200, "<html>hello</html>"),
    "no list": Answer(200, "{}", content_type="application/json"),
}


@pytest.mark.parametrize(
    "what",
    [pytest.param(what, marks=() if what == "503" else pytest.mark.long) for what in NO_LIST],
)
def test_a_failed_list_of_users_blames_nobody(what: str, tmp_path: Path) -> None:
    """If the lookup of users fails for a while, no row loses an attempt, and all are mailed soon afterwards."""
    lost = Fault("users", NO_LIST[what], times=3)
    with environment(tmp_path, 100, clerk=clerk(lost), more=LIMITS.replace("300ms", "50ms")) as env:
        done = env.work.run(timeout=20)
        assert (done.returncode, done.stderr) == (0, "")
        assert "deferred" not in done.stdout
        assert {row["attempts"] for row in env.work.rows()} == {1}
        calls = [event["t"] for event in env.clerk.events("request") if event["stage"] == "users"]
        waits = [later - earlier for earlier, later in itertools.pairwise(calls[:4])]
        assert all(wait >= 0.05 * 2**n for n, wait in enumerate(waits)), "longer each time"
        assert len(calls) < 15, "the others of a call that failed are asked for together again"


def test_a_run_says_what_it_waits_for(tmp_path: Path) -> None:
    """While Clerk is down the run waits, longer each time, and prints the reason."""
    with environment(tmp_path, clerk=clerk(Fault("users", Answer(503))), more=LIMITS.replace("300ms", "1100ms")) as env:
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.clerk.events("request")) > 1, process)
        process.terminate()
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (130, "")
        assert re.search(r"Waiting 1 s: Clerk's answer cannot be used: 503 Service Unavailable; if that lasts, ", out)
        assert re.search(r"The run was waiting: Clerk's answer cannot be used: 503", out)
        status = env.work.status()
        assert (status["queued"], status["failed"]) == (3, 0)


def test_a_run_that_is_not_to_wait_ends(tmp_path: Path) -> None:
    """With `--no-wait` a run ends at once if Clerk is down, with all rows queued."""
    with environment(tmp_path, clerk=clerk(Fault("users", Answer(503))), more=LIMITS.replace("300ms", "10s")) as env:
        done = env.work.run("--no-wait", timeout=9)
        assert (done.returncode, done.stderr) == (1, "")
        status = env.work.status()
        assert (status["queued"], status["failed"]) == (3, 0)


def test_a_row_is_in_issuing_only_while_its_call_is_out(tmp_path: Path) -> None:
    """If a run is killed while Clerk is silent, exactly the calls that Clerk received are possible orphans."""
    silent = clerk(Fault("create", Silence()))
    many = LIMITS.replace("connections = 4", "connections = 60")
    with environment(tmp_path, 250, clerk=silent, more=many) as env:
        process = env.work.start("run", "campaign.toml", "--yes")

        def calls() -> int:
            return sum(event["stage"] == "create" for event in env.clerk.events("request"))

        wait_for(calls, process)
        time.sleep(0.5)  # noqa: TID251 - time for any further calls
        process.kill()
        process.communicate()
        heard = calls()
        assert env.work.status()["issuing"] == heard
