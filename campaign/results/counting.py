"""Count who signed in after the mail, by step, batch and day: `results_of`, from what the send log knows.

Clerk keeps only a user's last sign-in. So a sign-in that is seen is the first one only if Clerk was asked between the
mail and it: the log keeps when Clerk was asked, and each count has a lower and an upper bound.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from campaign.delivery.services import clock_of, log_path
from campaign.model import Revocation
from campaign.results.comparison import Difference, difference
from campaign.sendlog.aggregates import Aggregates

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.sendlog.sign_ins import HeldOut, Inquiry, Mailing

#: The times after the mail within which sign-ins are counted, by name (seconds).
WINDOWS = {"hour": 3600.0, "day": 86_400.0, "week": 604_800.0}


@dataclass(slots=True)
class Arm:
    """The messages, or the recipients, of one line of the results, in numbers."""

    number: int = 0
    #: Those that came back.
    bounced: int = 0
    #: Those whose recipient Clerk does not know.
    strangers: int = 0
    #: Those whose recipient signed in after it.
    signed_in: int = 0
    #: Those whose recipient surely signed in within each window.
    surely: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WINDOWS, 0))
    #: Those whose recipient did, or may have done so.
    perhaps: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WINDOWS, 0))

    @property
    def known(self) -> int:
        """Those whose recipient Clerk knows."""
        return self.number - self.strangers

    def add(self, sightings: Sequence[Sighting], *, is_bounced: bool = False, is_stranger: bool = False) -> None:
        """Count a message or a recipient, with the first sign-in after each of its messages."""
        self.number += 1
        self.bounced += is_bounced
        self.strangers += is_stranger
        self.signed_in += bool(sightings)
        for name, seconds in WINDOWS.items():
            self.surely[name] += any(each.latest <= seconds for each in sightings)
            self.perhaps[name] += any(each.earliest < seconds for each in sightings)


@dataclass(frozen=True, slots=True)
class Sighting:
    """The first sign-in after a message: between `earliest` and `latest` seconds after it."""

    earliest: float
    latest: float


@dataclass(slots=True)
class LinkCounts:
    """What is known of the links in the messages, in numbers."""

    #: Clerk said so when it was asked to revoke it.
    used: int = 0
    #: It was revoked before it was used, or its recipient did not sign in since.
    unused: int = 0
    #: Its recipient signed in since, and Clerk does not say by what.
    open: int = 0

    def add(self, mailing: Mailing) -> None:
        """Count a message's link."""
        if mailing.answer is Revocation.USED and (mailing.signed_in_at is not None or mailing.is_stranger):
            self.used += 1
        elif mailing.answer is Revocation.REVOKED or mailing.signed_in_at is None:
            self.unused += 1
        else:
            self.open += 1


@dataclass(slots=True)
class Results:
    """What came of a campaign."""

    campaign: str
    #: When Clerk was last asked about everyone (seconds since the epoch); None if it never was.
    asked_at: float | None
    #: In which the days are.
    zone: ZoneInfo
    #: Each recipient once, whatever steps they got.
    everyone: Arm = field(default_factory=Arm)
    #: The messages of each step, in the file's order.
    steps: dict[str, Arm] = field(default_factory=dict)
    #: The recipients of each batch, with those held out of it.
    batches: dict[int, tuple[Arm, Arm]] = field(default_factory=dict)
    #: The messages of each day.
    days: dict[date, Arm] = field(default_factory=dict)
    held_out: Arm = field(default_factory=Arm)
    links: LinkCounts = field(default_factory=LinkCounts)
    #: The recipients whose last message is younger than a window: their numbers can still grow.
    young: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WINDOWS, 0))
    #: The messages that were sent after Clerk was asked.
    not_asked: int = 0

    @property
    def difference(self) -> Difference | None:
        """How many more of those mailed signed in than of those held out; None if one of the groups is empty."""
        here, there = self.everyone, self.held_out
        return difference(here.signed_in, here.known, there.signed_in, there.known)


def results_of(definition: Definition, settings: Settings, *, sandbox: bool) -> Results:
    """Return what came of a campaign, as far as its send log knows it; Clerk is not asked.

    Args:
        definition: the campaign file, for the steps' order and the zone of the days.
        settings: the environment.
        sandbox: read the sandbox's log, whatever the settings are.

    Raises:
        SendLogUnusableError: there is no log, it cannot be read, or the campaign is not in it.
    """
    path = log_path(settings, definition, asked=sandbox)
    with Aggregates(path, definition.name, now=clock_of(settings, path).now()) as log:
        return count_results(definition, log.mailings(), log.held_out(), log.inquiries())


def count_results(
    definition: Definition, mailings: Iterable[Mailing], held_out: Iterable[HeldOut], inquiries: Sequence[Inquiry]
) -> Results:
    """Count messages and recipients.

    Args:
        definition: the campaign file.
        mailings: the messages; those of a recipient follow each other by step.
        held_out: the recipients who are held out.
        inquiries: when Clerk was asked, in order.
    """
    zone = definition.schedule.default_zone or ZoneInfo("UTC")
    asked_at = inquiries[-1].began if inquiries else None
    found = Results(definition.name, asked_at, zone, steps={name: Arm() for name in definition.step_names if name})
    seen = _Inquiries(inquiries)
    for _, messages in groupby(mailings, key=lambda mailing: mailing.key):
        _count_person(found, list(messages), seen)
    for person in held_out:
        sightings = seen.sightings(person.turn_at, person.signed_in_at, known_since=max(person.turn_at, person.held_at))
        arms = [found.held_out]
        if person.batch is not None:
            arms.append(found.batches.setdefault(person.batch, (Arm(), Arm()))[1])
        for arm in arms:
            arm.add(sightings, is_stranger=person.is_stranger)
    found.batches = dict(sorted(found.batches.items()))
    found.days = dict(sorted(found.days.items()))
    return found


def _count_person(found: Results, messages: list[Mailing], seen: _Inquiries) -> None:
    """Count a recipient and each of the messages."""
    everything: list[Sighting] = []
    for mail in messages:
        sightings = seen.sightings(mail.sent_at, mail.signed_in_at, known_since=mail.sent_at)
        everything += sightings
        day = datetime.fromtimestamp(mail.sent_at, UTC).astimezone(found.zone).date()
        arms = [found.days.setdefault(day, Arm())]
        if mail.step:
            arms.append(found.steps.setdefault(mail.step, Arm()))
        for arm in arms:
            arm.add(sightings, is_bounced=mail.is_bounced, is_stranger=mail.is_stranger)
        if mail.has_link:
            found.links.add(mail)
        found.not_asked += found.asked_at is not None and mail.sent_at > found.asked_at
    is_bounced, is_stranger = any(mail.is_bounced for mail in messages), messages[0].is_stranger
    arms = [found.everyone]
    if messages[0].batch is not None:
        arms.append(found.batches.setdefault(messages[0].batch, (Arm(), Arm()))[0])
    for arm in arms:
        arm.add(everything, is_bounced=is_bounced, is_stranger=is_stranger)
    if found.asked_at is not None and not everything:
        age = found.asked_at - messages[-1].sent_at
        for name, seconds in WINDOWS.items():
            found.young[name] += age < seconds


class _Inquiries:
    """When Clerk was asked, to say how early a sign-in may have been."""

    def __init__(self, inquiries: Sequence[Inquiry]) -> None:
        self._began = [each.began for each in inquiries]
        self._ended = [each.ended for each in inquiries]

    def sightings(self, sent_at: float, signed_in_at: float | None, *, known_since: float) -> list[Sighting]:
        """Return the first sign-in after a message, or nothing if none is known.

        Args:
            sent_at: when the message was sent (seconds since the epoch), or would have been.
            signed_in_at: the first sign-in that is known (seconds since the epoch).
            known_since: inquiries that began later were about this recipient, too.
        """
        if signed_in_at is None:
            return []
        # An inquiry that was over before the sign-in had found none since the message.
        place = bisect_left(self._ended, signed_in_at)
        before = self._began[place - 1] if place else 0.0
        earliest = before - sent_at if before >= known_since else 0.0
        return [Sighting(max(0.0, earliest), signed_in_at - sent_at)]
