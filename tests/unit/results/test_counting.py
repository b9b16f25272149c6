"""Who signed in after which mail, as far as Clerk's last sign-ins tell."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.config.definition import load_definition
from campaign.model import Outcome, Revocation, Status
from campaign.results import count_results
from campaign.results.counting import WINDOWS
from campaign.sendlog.aggregates import Aggregates
from campaign.sendlog.sign_ins import HeldOut, Inquiry, Mailing, SignInLog
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, enlist, intend, opened, people, token, working

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from campaign.config.definition import Definition
    from campaign.model import Delivery
    from campaign.results import Results
    from campaign.sendlog import SendLog

DAY = 86_400.0
NOON = 1_800_014_400.0  # 2027-01-15 12:00 UTC


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Definition:
    """A campaign with two steps, whose days are those of Auckland."""
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "a.html").write_text("<p>Hello</p>")
    (folder / "c.toml").write_text(
        'name = "trial"\n[recipients]\nfile = "x.csv"\n[schedule]\ndefault_zone = "Pacific/Auckland"\n'
        '[email]\nfrom = "hello@acme.example"\nhtml = "a.html"\n'
        '[[steps]]\nname = "first"\nsubject = "One"\n[[steps]]\nname = "second"\nsubject = "Two"\ndue = "first + 1d"\n'
    )
    return load_definition(folder / "c.toml")


def mail(
    key: str = "ada",
    *,
    step: str = "first",
    at: float = NOON,
    seen: float | None = None,
    **more: Any,  # noqa: ANN401 - the fields of Mailing
) -> Mailing:
    """Return a message that was sent, with the first sign-in after it."""
    made = Mailing(key, step, 1, False, at, seen, False, True, None)  # noqa: FBT003
    return made._replace(**more)


def counts(results: Results) -> list[tuple[int, int, int, int, int]]:
    """Return the numbers of all, of the first and of the second step: mailed, and signed in, at least and at most."""
    arms = [results.everyone, *results.steps.values()]
    return [(arm.number, arm.signed_in, arm.surely["hour"], arm.perhaps["hour"], arm.perhaps["week"]) for arm in arms]


def test_a_sign_in_counts_for_its_step_and_once_for_its_person(definition: Definition) -> None:
    """Each step has the sign-ins after its mail; the person who signed in after both is counted once."""
    both = [mail(seen=NOON + 60), mail(step="second", at=NOON + DAY, seen=NOON + DAY + 1800)]
    one = [mail("bob"), mail("bob", step="second", at=NOON + DAY, seen=NOON + 9 * DAY)]
    found = count_results(definition, [*both, *one, mail("cyd", is_bounced=True)], [], [Inquiry(NOON, NOON + 1)])
    assert counts(found) == [(3, 2, 1, 2, 2), (3, 1, 1, 1, 1), (2, 2, 1, 2, 2)]
    assert [arm.bounced for arm in (found.everyone, *found.steps.values())] == [1, 1, 0]
    # noon in Greenwich is past midnight in Auckland
    assert {day: arm.number for day, arm in found.days.items()} == {date(2027, 1, 16): 3, date(2027, 1, 17): 2}


@pytest.mark.parametrize(
    ("inquiries", "at_most"),
    [
        ([], {"hour": 1, "day": 1, "week": 1}),
        # it was over before the sign-in, and had found none
        ([(NOON + 7200, NOON + 7300)], {"hour": 0, "day": 1, "week": 1}),
        ([(NOON + 7200, NOON + 7300), (NOON + 2 * DAY, NOON + 2 * DAY + 9)], {"hour": 0, "day": 0, "week": 1}),
        # the sign-in came while it went on, so it may not have been the first
        ([(NOON + 2 * DAY, NOON + 4 * DAY)], {"hour": 1, "day": 1, "week": 1}),
        # it was before the mail
        ([(NOON - 9, NOON - 5)], {"hour": 1, "day": 1, "week": 1}),
    ],
)
def test_an_earlier_sign_in_may_be_hidden_unless_clerk_was_asked_between(
    definition: Definition, inquiries: list[tuple[float, float]], at_most: dict[str, int]
) -> None:
    """A sign-in after three days surely is within the week; that it was the first, only an inquiry before it shows."""
    asked = [Inquiry(*each) for each in [*inquiries, (NOON + 5 * DAY, NOON + 5 * DAY)]]
    found = count_results(definition, [mail(seen=NOON + 3 * DAY)], [], asked).everyone
    assert found.surely == {"hour": 0, "day": 0, "week": 1}
    assert found.perhaps == at_most


def test_links_are_used_unused_or_open(definition: Definition) -> None:
    """A link is used if Clerk said so, unused if it was revoked or nobody signed in since, and else not known."""
    mails = [
        mail("a", seen=NOON + 60, answer=Revocation.USED),
        mail("b", seen=NOON + 60, answer=Revocation.REVOKED),
        mail("c"),
        mail("d", answer=Revocation.USED),  # Clerk calls a token past its end so, too, and shows no sign-in
        mail("e", seen=NOON + 60),
        mail("f", seen=NOON + 60, answer=Revocation.UNKNOWN),
        mail("g", has_link=False),
    ]
    links = count_results(definition, mails, [], []).links
    assert (links.used, links.unused, links.open) == (1, 3, 2)


def test_who_was_mailed_lately_may_still_come(definition: Definition) -> None:
    """Who has not signed in, within a window that was not over when Clerk was asked, is counted for that window."""
    mails = [mail("a", at=NOON - 1800), mail("b", at=NOON - 7200), mail("c", at=NOON - 1800, seen=NOON - 60)]
    assert count_results(definition, mails, [], [Inquiry(NOON, NOON)]).young == {"hour": 1, "day": 2, "week": 2}


def test_those_held_out_stand_beside_the_batch(definition: Definition) -> None:
    """They are counted from their turn, in the batch behind which it was, and without users at Clerk in no share."""
    held = [
        HeldOut("x", NOON, 1, NOON - 5, NOON + 60, is_stranger=False),
        HeldOut("y", NOON, 1, NOON - 5, None, is_stranger=False),
        HeldOut("z", NOON, None, NOON - 5, None, is_stranger=True),
    ]
    found = count_results(definition, [mail(seen=NOON + 60), mail("bob", is_stranger=True)], held, [])
    assert (found.held_out.number, found.held_out.known, found.held_out.signed_in) == (3, 2, 1)
    assert (found.batches[1][0].number, found.batches[1][1].number) == (2, 2)
    assert found.difference is not None
    assert (found.difference.mailed, found.difference.held_out) == (1.0, 0.5)


@given(
    st.lists(st.tuples(st.floats(0, 30 * DAY), st.floats(0.001, 30 * DAY) | st.none()), max_size=12),
    st.lists(st.floats(0, 60 * DAY), max_size=4),
)
def test_bounds_hold_in_each_window(
    definition: Definition, mails: list[tuple[float, float | None]], inquiries: list[float]
) -> None:
    """Of each window: surely is at most perhaps, a longer window has no fewer, and none has more than signed in."""
    sent = [
        mail(str(number), at=NOON + at, seen=None if after is None else NOON + at + after)
        for number, (at, after) in enumerate(mails)
    ]
    asked = [Inquiry(NOON + at, NOON + at) for at in sorted(set(inquiries))]
    found = count_results(definition, sent, [], asked).everyone
    for bound in (found.surely, found.perhaps):
        assert list(bound.values()) == sorted(bound.values())
    assert all(found.surely[name] <= found.perhaps[name] <= found.signed_in <= found.number for name in WINDOWS)


# -- what the log keeps --------------------------------------------------------------------------------------------


def read(path: Path, definition: Definition) -> Results:
    """Count what a log holds."""
    with Aggregates(path, "trial", now=0) as log:
        return count_results(definition, log.mailings(), log.held_out(), log.inquiries())


def send(log: SendLog, *keys: str, clock: FakeClock, every: float = 10.0) -> None:
    """Send what is due to these keys, one after the other."""

    async def work(rows: list[Delivery]) -> None:
        for row in rows:
            if row.recipient.key in keys:
                clock.jump(every)
                await bring(log, row, Status.SENT)

    working(log, work)


def test_the_log_remembers_what_clerk_said(tmp_path: Path, definition: Definition) -> None:
    """A first sign-in that was seen stays known after a later one; who was seen since the last mail is not asked."""
    path, clock = tmp_path / "log.db", FakeClock()
    keys = [each.key for each in people(3)]
    with opened(path, clock=clock) as log:
        enlist(log, people(3), steps=("first", "second"))
        send(log, *keys, clock=clock)
    first = clock.now()
    with SignInLog(path, "trial", clock) as log:
        page, last = log.people_to_ask("", limit=100)
        assert [person.key for person in page] == keys
        assert log.people_to_ask(str(last), limit=100) == ([], None)
        log.note([(page[0], first + 5), (page[1], first - 1000), (page[2], None)], [])
        assert [person.key for person in log.people_to_ask("", limit=100)[0]] == keys[1:]
    clock.jump(DAY)
    with opened(path, clock=clock) as log:
        enlist(log, people(3), steps=("first", "second"))
        log.release_steps()
        send(log, *keys[:2], clock=clock)
    with SignInLog(path, "trial", clock) as log:
        page, _ = log.people_to_ask("", limit=2)
        assert [person.key for person in page] == keys[:2]  # who got another mail is asked again
        log.note([(page[0], clock.now() + 5), (page[1], first + 7200)], [])
    assert counts(read(path, definition)) == [(3, 2, 1, 2, 2), (3, 2, 1, 2, 2), (2, 1, 1, 1, 1)]


def test_a_turn_comes_with_the_next_in_the_queue(tmp_path: Path) -> None:
    """Who is held out counts from the mail to the next recipient; at the end of the queue, once nobody waits there."""
    path, clock = tmp_path / "log.db", FakeClock()
    rows = people(40)
    with opened(path, clock=clock) as log:
        enlist(log, rows, steps=("first", "second"))
        log.hold_out(40, in_batches=False)
        log.take_batch(None)
        send(log, *[each.key for each in rows[:20]], clock=clock)
    sent = {}
    with Aggregates(path, "trial", now=0) as found:
        sent = {each.key: each.sent_at for each in found.mailings()}
        held = {each.key: each for each in found.held_out()}
    last = max(number for number, each in enumerate(rows) if each.key in sent)
    assert 0 < len(sent) < len(rows)
    assert held
    for key, each in held.items():
        number = [row.key for row in rows].index(key)
        following = next(row.key for row in rows[number:] if row.key in sent)
        assert number < last
        assert (each.turn_at, each.batch) == (sent[following], 1)
    with opened(path, clock=clock) as log:
        enlist(log, rows, steps=("first", "second"))
        send(log, *[each.key for each in rows], clock=clock)
    with Aggregates(path, "trial", now=0) as found:
        assert {each.key for each in found.held_out()} | {each.key for each in found.mailings()} == {
            each.key for each in rows
        }


def test_unsent_and_refused_mails_do_not_count(tmp_path: Path, definition: Definition) -> None:
    """A mail that was refused, or whose intent alone is written, is no mail; an uncertain one is."""
    path, clock = tmp_path / "log.db", FakeClock()

    async def work(rows: Sequence[Delivery]) -> None:
        await bring(log, rows[0], Status.FAILED)
        await bring(log, rows[1], Status.UNCERTAIN)
        row = await intend(log, rows[2])
        await log.settle(row, Outcome(Status.SKIPPED, "banned"), revoke=token(row))

    with opened(path, clock=clock) as log:
        enlist(log, people(4), steps=("first", "second"))
        working(log, work)
    assert read(path, definition).everyone.number == 1
