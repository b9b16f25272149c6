"""The checker: it accepts a correct run and names the invariant that an altered one breaks."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from support.crash.checker import INVARIANTS, check
from support.crash.leaks import files_under, scan
from support.crash.records import Person, Suppressed, Transition, read_lines, read_log, read_people
from support.crash.sample_run import WALL, SampleRun, token_text, true_story

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_true_story_passes() -> None:
    """For a correct run every invariant is checked and holds, and the figures are right."""
    run = true_story()
    run.terms = replace(run.terms, rates=((2, 1.0),), epilogue=run.now + 1)
    verdict = check(run.records())
    assert verdict.violated == {}
    assert [one.name for one in verdict.judgements] == list(INVARIANTS)
    assert all(one.checked for one in verdict.judgements)
    assert verdict.uncertain_share == 1
    assert (verdict.acceptances, verdict.orphans) == (5, 1)
    assert "every promise holds" in verdict.table()


def two_steps() -> SampleRun:
    """Return a correct run in which ann gets two steps: the second one's token takes the place of the first one's."""
    run = SampleRun()
    run.add("ann", "sent", step="first", message_id="<a1>", token_id="sit_a1")
    run.rows.append({**run.rows[0], "step": "second", "message_id": "<a2>", "token_id": "sit_a2"})
    run.send("ann", "a1", step="first")
    run.clerk.append({"event": "revoked", "id": "sit_a1", "t": run.now})
    run.send("ann", "a2", step="second")
    return run


def test_a_campaign_in_steps_passes() -> None:
    """Each step is a delivery of its own, and only the last one's link must live."""
    assert check(two_steps().records()).violated == {}


def test_a_step_sent_twice_is_seen() -> None:
    """A step that goes out again, or whose last link is dead, is named."""
    run = two_steps()
    run.accept("ann", run.issue("ann", "a3"), "<a3>")
    run.clerk.append({"event": "revoked", "id": "sit_a2", "t": run.now})
    assert {"I2", "I4", "I7"} <= set(check(run.records()).violated)


def row(run: SampleRun, key: str) -> dict[str, Any]:
    return next(one for one in run.rows if one["key"] == key)


def mail(run: SampleRun, message_id: str) -> dict[str, Any]:
    return next(one for one in run.smtp if one.get("message_id") == message_id)


def swap(run: SampleRun, *, tokens: str) -> None:
    mail(run, "<a>").update(tokens=[tokens], by_part={"text/html": [tokens]})


def steady_excess(run: SampleRun) -> None:
    run.terms = replace(run.terms, rates=((1, 1.0),), squeeze=0.15)
    run.smtp = [{**run.smtp[-1], "t": 0.9 * each, "message_id": f"<{each}>"} for each in range(20)]


def said_no_before_it_was_sent(run: SampleRun) -> None:
    first = next(one for one in run.transitions if one.key == "ada")
    run.suppressed.append(Suppressed("ada@example.com", first.at - 0.5))
    run.listed.add("ada@example.com")


def left_off_the_list(run: SampleRun) -> None:
    run.suppressed.clear()
    run.listed.remove("gil@example.com")


def too_many_in_doubt(run: SampleRun) -> None:
    for key in ("gus", "hal", "ivy"):
        run.add(key, "uncertain", message_id=f"<{key}>", token_id=f"sit_{key}")
        run.step(key, "queued", "issuing")
        run.issue(key, key)
        run.step(key, "issuing", "sending", message_id=f"<{key}>", token_id=f"sit_{key}")
    for key in ("gus", "hal", "ivy"):
        run.step(key, "sending", "uncertain", actor="recovery", message_id=f"<{key}>", token_id=f"sit_{key}")


def squeeze_domain(run: SampleRun) -> None:
    run.terms = replace(run.terms, domain_rates={"other.example": ((1, 60.0),), "example.com": ((2, 60.0),)})


def many_calls(run: SampleRun) -> None:
    run.terms = replace(run.terms, call_rates=((2, 60.0),))
    run.clerk += [{"event": "request", "stage": stage, "t": 1.0} for stage in ("create", "revoke", "users")]


def lies() -> dict[str, tuple[str, Callable[[SampleRun], Any]]]:
    """Return, by name, the invariant that must be violated and the function that alters the run."""
    dead = {"event": "revoked", "id": "sit_a", "t": 0, "wall": WALL}
    opened = {"event": "open", "open": 3, "t": 0.3}
    data = {"event": "data", "t": 900.0, "rcpt": ["ada@example.com"]}
    asked = {"event": "request", "stage": "create", "t": 900.0}
    violation = {"event": "violation", "what": "a bare LF", "line": "x"}

    def drop_row(run: SampleRun) -> None:
        run.rows.remove(row(run, "fay"))

    def late_intent(run: SampleRun) -> None:
        at = next(n for n, one in enumerate(run.transitions) if one.new == "sending")
        run.transitions[at] = replace(run.transitions[at], at=WALL + 800)

    def token_without_attempt(run: SampleRun) -> None:
        run.issue("ada", "a2")
        run.clerk.append({"event": "revoked", "id": "sit_a2", "t": 0, "wall": WALL})

    def too_soon(run: SampleRun) -> None:
        at = next(n for n, one in enumerate(run.transitions) if one.code == 451)
        run.transitions[at] = replace(run.transitions[at], at=run.transitions[at].at + 15)

    def too_often(run: SampleRun) -> None:
        for _ in range(3):
            run.now += 100
            run.step("fay", "skipped", "queued", actor="enlist")
            run.step("fay", "queued", "queued", code=451)

    def epilogue(run: SampleRun, event: dict[str, Any]) -> None:
        run.terms = replace(run.terms, epilogue=800.0)
        (run.smtp if event is data else run.clerk).append(event)

    def accepted_then_failed(run: SampleRun) -> None:
        row(run, "cyd").update(state="failed")
        run.step("cyd", "sending", "failed")

    def squeeze(run: SampleRun) -> None:
        run.terms = replace(run.terms, rates=((2, 60.0),))

    return {
        "a row is missing": ("I1", drop_row),
        "a row is there twice": ("I1", lambda s: s.rows.append(row(s, "fay"))),
        "an unknown state": ("I1", lambda s: row(s, "fay").update(state="lost")),
        "status counts wrong": ("I1", lambda s: setattr(s, "status", {"sent": 9})),
        "status has other recipients": ("I1", lambda s: setattr(s, "status", {"recipients": 7})),
        "accepted twice with one id": ("I2", lambda s: s.smtp.append(mail(s, "<a>"))),
        "accepted twice with two ids": ("I2", lambda s: s.smtp.append({**mail(s, "<a>"), "message_id": "<a9>"})),
        "sent without acceptance": ("I3", lambda s: s.smtp.remove(mail(s, "<a>"))),
        "sent with another id": ("I3", lambda s: row(s, "ada").update(message_id="<other>")),
        "accepted and failed": ("I4", accepted_then_failed),
        "accepted and queued": ("I4", lambda s: row(s, "cyd").update(state="queued")),
        "accepted and unknown": ("I4", lambda s: s.accept("fay", token_text("f"), "<f>")),
        "another's token": ("I5", lambda s: swap(s, tokens=token_text("c"))),
        "a token that was never issued": ("I5", lambda s: swap(s, tokens=token_text("z"))),
        "no token at all": ("I5", lambda s: mail(s, "<a>").update(tokens=[], by_part={})),
        "two tokens": ("I5", lambda s: mail(s, "<a>")["tokens"].append("other")),
        "no token in the text part": ("I5", lambda s: mail(s, "<a>")["by_part"].update({"text/plain": []})),
        "another's envelope": ("I5", lambda s: mail(s, "<a>").update(rcpt=["cyd@example.com"])),
        "two recipients": ("I5", lambda s: mail(s, "<a>")["rcpt"].append("cyd@example.com")),
        "another's To": ("I5", lambda s: mail(s, "<a>").update(to=["cyd@example.com"])),
        "a token in two mails": ("I6", lambda s: swap(s, tokens=token_text("d2"))),
        "an accepted token revoked": ("I7", lambda s: s.clerk.append(dead)),
        "an accepted token run out": ("I7", lambda s: s.clerk[0].update(expires_at=WALL)),
        "a token of nobody": ("I8", lambda s: s.issue("fay", "f")),
        "an orphan not counted": ("I8", lambda s: s.orphans.clear()),
        "an orphan counted for another": ("I8", lambda s: s.orphans.__setitem__(0, "ada")),
        "a token not revoked": (
            "I8",
            lambda s: s.clerk.remove(next(one for one in s.clerk if one["event"] == "revoked")),
        ),
        "a revocation forgotten": (
            "I8",
            lambda s: (
                s.clerk.remove(next(one for one in s.clerk if one["event"] == "revoked")),
                s.unsettled.add("sit_b"),
            ),
        ),
        "the dot before the intent": ("I9", lambda s: mail(s, "<a>").update(witnessed=False)),
        "the intent written afterwards": ("I9", late_intent),
        "the token's id not on record": (
            "I9",
            lambda s: s.transitions.__setitem__(1, replace(s.transitions[1], token_id=None)),
        ),
        "a token without an attempt": ("I9", token_without_attempt),
        "too fast": ("I10", squeeze),
        "too fast for a domain": ("I10", squeeze_domain),
        "too many calls to Clerk": ("I10", many_calls),
        "a little too fast all the time": ("I10", steady_excess),
        "too many connections": ("I11", lambda s: s.smtp.append(opened)),
        "a secret in a file": ("I12", lambda s: s.leaks.append("out.txt holds a token")),
        "one more run sends": ("I13", lambda s: epilogue(s, data)),
        "one more run asks for a token": ("I13", lambda s: epilogue(s, asked)),
        "left queued": ("I14", lambda s: row(s, "fay").update(state="queued")),
        "left half done": ("I14", lambda s: row(s, "fay").update(state="sending")),
        "tried again too soon": ("I15", too_soon),
        "tried too often": ("I15", too_often),
        "sent left by the run": ("I16", lambda s: s.step("ada", "sent", "queued")),
        "uncertain left by the recovery": ("I16", lambda s: s.step("cyd", "uncertain", "queued", actor="recovery")),
        "a gap in the history": ("I16", lambda s: s.transitions.pop(1)),
        "a history that ends elsewhere": ("I16", lambda s: row(s, "ada").update(state="failed")),
        "no history at all": ("I16", lambda s: row(s, "fay").update(state="sent")),
        "mailed after a no": ("I18", said_no_before_it_was_sent),
        "a no forgotten": ("I18", lambda s: s.listed.discard("gil@example.com")),
        "an unknown address not suppressed": (
            "I18",
            lambda s: row(s, "bob").update(reason="RCPT TO was answered: 550 5.1.1 No such user"),
        ),
        "skipped as suppressed and not on the list": (
            "I18",
            left_off_the_list,
        ),
        "came back and still sent": ("I19", lambda s: s.returned.append("<a>")),
        "bounced without a report": ("I19", lambda s: s.returned.clear()),
        "bounced by the run": ("I19", lambda s: s.transitions.__setitem__(-1, replace(s.transitions[-1], actor="run"))),
        "bounced with a live token": ("I19", lambda s: s.clerk.pop()),
        "bounced and not suppressed": ("I19", lambda s: s.listed.discard("hal@example.com")),
        "a user made again": ("I20", lambda s: s.create_user("fay")),
        "a user without an intent": ("I20", lambda s: s.creations.clear()),
        "bounced and mailed again": ("I16", lambda s: s.step("hal", "bounced", "queued", actor="bounces")),
        "more in doubt than connections": ("I17", too_many_in_doubt),
        "an intent without a lease": ("I21", lambda s: s.unleased.append("<a>: the lease had run out")),
        "a dot long after its intent": ("I21", lambda s: mail(s, "<a>").update(wall=mail(s, "<a>")["wall"] + 60)),
        "SMTP's rules broken": ("SMTP", lambda s: s.smtp.append(violation)),
    }


@pytest.mark.parametrize("what", list(lies()))
def test_each_lie_is_caught(what: str) -> None:
    """A run that breaks one promise is rejected, with the right invariant."""
    invariant, alter = lies()[what]
    run = true_story()
    alter(run)
    verdict = check(run.records())
    assert invariant in verdict.violated, verdict.table()
    assert "BROKEN" in verdict.table()


def test_every_invariant_has_a_lie() -> None:
    """Every invariant has an altered run that breaks it."""
    assert {invariant for invariant, _ in lies().values()} == set(INVARIANTS)


def test_an_operators_resend_is_no_duplicate() -> None:
    """After an operator's resend an uncertain mail may be accepted twice, if its old token is revoked."""
    run = true_story()
    run.step("cyd", "uncertain", "queued", actor="resolve", message_id="<c>")
    run.clerk.append({"event": "revoked", "id": "sit_c", "t": run.now, "wall": WALL + run.now})
    run.send("cyd", "c2")
    row(run, "cyd").update(state="sent", message_id="<c2>", token_id="sit_c2")
    assert check(run.records()).violated == {}


def test_an_operator_may_keep_what_never_arrived() -> None:
    """After `resolve --keep` an uncertain row counts as sent, although no mail was accepted."""
    run = true_story()
    run.smtp.remove(mail(run, "<c>"))
    row(run, "cyd").update(state="sent")
    run.step("cyd", "uncertain", "sent", actor="resolve", message_id="<c>", token_id="sit_c")
    assert check(run.records()).violated == {}


def test_the_share_of_uncertain_rows_that_were_accepted() -> None:
    """An uncertain row without an accepted mail lowers the share and breaks no invariant."""
    run = true_story()
    run.smtp.remove(mail(run, "<c>"))
    verdict = check(run.records())
    assert verdict.holds
    assert verdict.uncertain_share == 0


def test_leaks_are_found_whole_and_in_pieces() -> None:
    """A token is found even if it is split, and a secret even if it is encoded; token ids do not count."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzaXQiOiJzaXRfMTIzNDU2Nzg5MCJ9." + "Ab-3_xYz9Q" * 20
    secrets = {"the secret key": "sk_test_0123456789", "the password": "p@ss/word=1"}
    places = {
        "clean": b"sit_0123456789abcdef user_1 <0123456789abcdef0123456789abcdef@acme.example>",
        "whole": f"GET /welcome?token={token} HTTP/1.1".encode(),
        "cut": b"\x00\x01" + token[61:110].encode() + b"\xff",
        "key": b"Authorization: Bearer sk_test_0123456789",
        "quoted": b"smtp://acme:p%40ss%2Fword%3D1@127.0.0.1",
        "base64": b"AUTH ... cEBzcy93b3JkPTE= ...",
    }
    found = scan(places, tokens=[token], secrets=secrets)
    assert [text.split()[0] for text in found] == ["whole", "cut", "key", "quoted", "base64"]


def test_evidence_is_read_from_files(tmp_path: Path) -> None:
    """The checker reads the CSV, the servers' records and the send log's file as they are on disk."""
    people = tmp_path / "people.csv"
    people.write_text("user_id,email\nuser_1,a@example.com\n", encoding="utf-8")
    assert read_people(people) == [Person("user_1", "user_1", "a@example.com")]
    lines = tmp_path / "smtp.jsonl"
    lines.write_text(json.dumps({"event": "open"}) + "\n", encoding="utf-8")
    assert read_lines(lines) == [{"event": "open"}]
    assert set(files_under(tmp_path, without=[people])) == {str(lines)}
    path = tmp_path / "log.db"
    log = sqlite3.connect(path)
    log.executescript(
        """
        CREATE TABLE campaign (id, name);
        CREATE TABLE delivery (id, campaign_id, key, user_id, step);
        CREATE TABLE history (id, delivery_id, at, old_state, new_state, actor, message_id, token_id, code, reason);
        CREATE TABLE revocation (token_id, delivery_id, settled_at);
        CREATE TABLE orphan (id, delivery_id);
        CREATE TABLE user_creation (address, asked_at);
        INSERT INTO campaign VALUES (1, 'ours'), (2, 'other');
        INSERT INTO delivery VALUES (1, 1, 'k1', 'user_1', 'first'), (2, 2, 'k2', 'user_2', '');
        INSERT INTO history VALUES (1, 1, 5.0, 'queued', 'issuing', 'run', NULL, NULL, NULL, ''),
                                   (2, 2, 6.0, 'queued', 'issuing', 'run', NULL, NULL, NULL, '');
        INSERT INTO revocation VALUES ('sit_1', 1, NULL), ('sit_2', 1, 7.0), ('sit_3', 2, NULL);
        INSERT INTO orphan VALUES (1, 1), (2, 2);
        INSERT INTO user_creation VALUES ('a@example.com', 4.0);
        """
    )
    log.close()
    found = read_log(path, "ours")
    assert found.transitions == [Transition("k1", 5.0, "queued", "issuing", "run", step="first")]
    assert (found.orphans, found.unsettled) == (["user_1"], frozenset({"sit_1"}))
    assert found.creations == {"a@example.com": 4.0}
