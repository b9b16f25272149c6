"""The simulated queue keeps the laws of a run: rates, windows, order, due times and ends."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from campaign.delivery.window import Window
from campaign.model import Rate
from campaign.planning.simulation import CampaignModel, QueuedPerson, SimulatedQueue, StepModel
from campaign.planning.tally import Tally
from campaign.schedule import Moment, Schedule, WeeklyWindow
from campaign.schedule.window import parse_days, parse_hours

if TYPE_CHECKING:
    from collections.abc import Sequence

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 12, 1, 8, 0, tzinfo=BERLIN).timestamp()
HOUR, DAY = 3600.0, 86_400.0
FAR = START + 400 * DAY


class Diary(Tally):
    """A tally that also keeps each message, as (instant, step, line)."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[float, int, int]] = []

    def send(self, at: float, step: int, line: int) -> None:
        """Count and keep a message."""
        super().send(at, step, line)
        self.messages.append((at, step, line))


def person(line: int, *, domain: str = "example.com", **variables: str) -> QueuedPerson:
    return QueuedPerson(line=line, domain=domain, locale="", variables=variables)


def played(
    steps: Sequence[Schedule],
    people: Sequence[QueuedPerson],
    *,
    rates: Sequence[str] = (),
    domains: dict[str, str] | None = None,
    link_life: float | None = None,
) -> Diary:
    """Return what happens when all people are due at once."""
    diary = Diary()
    model = CampaignModel(
        {(number, ""): StepModel(f"step{number}", schedule, link_life) for number, schedule in enumerate(steps)},
        rates=[Window(Rate.parse(rate)) for rate in rates],
        domains={domain: [Window(Rate.parse(rate))] for domain, rate in (domains or {}).items()},
    )
    queue = SimulatedQueue(model, diary, start=START)
    for rank, each in enumerate(people):
        due = steps[0].due_at(each.variables, {})
        queue.add(each, 0, not_before=due, rank=rank)
    queue.run(until=FAR)
    assert len(queue) == 0
    return diary


def test_without_limits_all_go_at_once_in_order() -> None:
    """Rows that are due go out at the start, in the order of the file."""
    diary = played([Schedule()], [person(line) for line in range(2, 102)])
    assert diary.messages == [(START, 0, line) for line in range(2, 102)]


@given(
    st.lists(st.sampled_from(["gmail.com", "example.com", "example.org"]), min_size=1, max_size=120),
    st.sampled_from(["7/second", "20/hour", "30/day"]),
    st.sampled_from(["1/second", "5/hour", "11/day"]),
)
def test_no_rate_is_exceeded_and_everyone_is_mailed_once(domains: list[str], rate: str, domain_rate: str) -> None:
    """In no window are there more messages than the rates allow, of all and of a domain; each row is sent once."""
    people = [person(line, domain=domain) for line, domain in enumerate(domains, start=2)]
    diary = played([Schedule()], people, rates=[rate], domains={"gmail.com": domain_rate})
    assert Counter(line for _, _, line in diary.messages) == Counter(each.line for each in people)
    limited = {each.line for each in people if each.domain == "gmail.com"}
    for text, instants in (
        (rate, [at for at, _, _ in diary.messages]),
        (domain_rate, [at for at, _, line in diary.messages if line in limited]),
    ):
        kept = Rate.parse(text)
        assert instants == sorted(instants)
        for first, at in enumerate(instants):
            assert bisect_left(instants, at + kept.period.total_seconds()) - first <= kept.count


def test_a_slow_domain_holds_back_no_other() -> None:
    """Rows of a limited domain wait for it, and the others go out meanwhile."""
    people = [person(line, domain="gmail.com" if line % 2 else "example.com") for line in range(2, 42)]
    diary = played([Schedule()], people, rates=["10/second"], domains={"gmail.com": "1/hour"})
    others = [at for at, _, line in diary.messages if not line % 2]
    assert max(others) < START + 10
    assert max(at for at, _, _ in diary.messages) > START + 18 * HOUR


@given(st.lists(st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata"]), min_size=1, max_size=60))
def test_mail_goes_out_in_the_hours_of_each_zone(zones: list[str]) -> None:
    """Every message is within its recipient's hours and days, and before the end of the next opening."""
    window = WeeklyWindow(parse_hours("09:00-20:00"), parse_days("Mon-Sat"))
    schedule = Schedule(window=window, zone="zone")
    people = [person(line, zone=zone) for line, zone in enumerate(zones, start=2)]
    diary = played([schedule], people, rates=["5/hour"])
    zone_of = {each.line: ZoneInfo(each.variables["zone"]) for each in people}
    assert len(diary.messages) == len(people)
    assert all(window.is_open(at, zone_of[line]) for at, _, line in diary.messages)


def test_a_step_counts_from_the_mail_before_it() -> None:
    """The second step comes 23 hours after the first was sent, not after it was due, and within the hours."""
    window = WeeklyWindow(parse_hours("09:00-20:00"))
    first = Schedule(window=window, default_zone=BERLIN)
    second = Schedule(due=Moment.parse("step0 + 23h"), window=window, default_zone=BERLIN, earlier=["step0"])
    diary = played([first, second], [person(2)])
    assert diary.messages == [(START + HOUR, 0, 2), (START + HOUR + DAY, 1, 2)]


def test_who_is_too_late_gets_nothing_more() -> None:
    """A row whose end passes before its turn is not sent, nor are its later steps; an older end is told apart."""
    until = [datetime.fromtimestamp(START, BERLIN) + timedelta(hours=hours) for hours in (-1, 5, 1)]
    first = Schedule(until=Moment.parse("until"))
    second = Schedule(due=Moment.parse("step0 + 1h"), earlier=["step0"])
    people = [person(line, until=end.isoformat()) for line, end in enumerate(until, start=2)]
    diary = played([first, second], people, rates=["1/2 hours"])
    assert [(step, line) for _, step, line in diary.messages] == [(0, 3), (1, 3)]
    assert (diary.stale.number, diary.stale.first) == (1, 2)
    assert (diary.too_late.number, diary.too_late.first) == (1, 4)


def test_links_that_are_dead_in_the_morning_are_counted() -> None:
    """A link of 12 hours, mailed within the last two hours of the day, is counted with the life that it needs."""
    window = WeeklyWindow(parse_hours("09:00-20:00"))
    people = [person(line) for line in range(2, 14)]
    diary = played([Schedule(window=window, default_zone=BERLIN)], people, rates=["1/hour"], link_life=12 * HOUR)
    late = [at for at, _, _ in diary.messages if datetime.fromtimestamp(at, BERLIN).hour >= 18]
    assert diary.short_links.number == len(late) == 2
    assert diary.short_links.first == 11
    assert diary.needed_life == DAY + START + HOUR - late[0]


def test_a_zone_that_cannot_be_read_is_told_with_its_line() -> None:
    """A row with an unknown zone is counted with the sentence of its cell, and the others go out."""
    schedule = Schedule(window=WeeklyWindow(parse_hours("00:00-24:00")), zone="zone")
    diary = played([schedule], [person(2, zone="Europe/Berlin"), person(3, zone="Mars")])
    assert [line for _, _, line in diary.messages] == [2]
    assert (diary.invalid.number, diary.invalid.first) == (1, 3)
    assert "The cell zone: 'Mars' is not a time zone" in diary.invalid.why


def test_what_is_added_later_does_not_go_out_before() -> None:
    """Rows that a later run takes up go out from then on, and before those that became due meanwhile."""
    diary = Diary()
    queue = SimulatedQueue(CampaignModel({(0, ""): StepModel("", Schedule(), None)}), diary, start=START)
    queue.add(person(2), 0, not_before=0.0, rank=1)
    queue.add(person(3), 0, not_before=START + DAY + 1, rank=2)
    queue.run(until=START + DAY)
    queue.add(person(4), 0, not_before=3.0, rank=3)
    queue.run(until=FAR)
    assert diary.messages == [(START, 0, 2), (START + DAY, 0, 4), (START + DAY + 1, 0, 3)]
