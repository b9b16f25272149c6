"""Say what the results mean, and what Clerk cannot tell: `notes`, `comparison`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.reporting.summary import number
from campaign.results.counting import WINDOWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.results import Results
    from campaign.results.counting import Arm


def bounds(arm: Arm, window: str) -> str:
    """Return how many signed in within a window: `12`, or `12-15` if Clerk cannot tell more exactly."""
    low, high = arm.surely[window], arm.perhaps[window]
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def asked_when(results: Results) -> str:
    """Return when Clerk was asked, or that it never was."""
    if results.asked_at is None:
        return "Clerk was not asked yet"
    return f"as Clerk said on {instant(results.asked_at):%Y-%m-%d at %H:%M} UTC"


def comparison(results: Results) -> str:
    """Return what the mail did, beside those held out; empty if nobody is held out."""
    found = results.difference
    if found is None:
        return ""
    beginning = f"Of those mailed {found.mailed:.1%} signed in since, of those held out {found.held_out:.1%}"
    between = f"between {_points(found.lowest)} and {_points(found.highest)} with 95 % confidence"
    if found.is_clear:
        more = "more" if found.points > 0 else "fewer"
        return f"{beginning}: the mail made a difference of {_points(abs(found.points))} {more} ({between})."
    return f"{beginning}: too few, or too like each other, to tell what the mail did ({between})."


def notes(results: Results) -> Iterator[str]:
    """Yield a sentence for each thing that the numbers do not say by themselves."""
    arms = [results.everyone, results.held_out, *results.steps.values(), *results.days.values()]
    if any(arm.surely[name] != arm.perhaps[name] for arm in arms for name in WINDOWS):
        yield (
            "3-5 means at least 3 and at most 5: Clerk keeps only a user's last sign-in, so one that is seen late may "
            "have followed an earlier one. Each run of `campaign results` remembers what it saw: ask within the hour, "
            "the day and the week after a mail, and the numbers are exact."
        )
    young = {name: count for name, count in results.young.items() if count}
    if young:
        listed = ", ".join(f"{count:,} less than {_WITHIN[name]}" for name, count in young.items())
        yield f"Not signed in, and mailed only lately: {listed} before Clerk was asked. Their numbers can grow."
    if results.everyone.strangers:
        yield (
            f"{number(results.everyone.strangers, 'recipient')} mailed without a user at Clerk now: not counted in the "
            "shares."
        )
    if results.held_out.strangers:
        yield (
            f"{number(results.held_out.strangers, 'recipient')} held out whom the campaign would not have mailed (no "
            "user at Clerk, another address, or banned): not counted in the shares."
        )
    links = results.links
    if links.used or links.unused or links.open:
        yield (
            f"Links: {links.used:,} used, as Clerk said when they were to be revoked; {links.unused:,} not used since "
            "the mail (revoked before that, or no sign-in); "
            f"{links.open:,} whose user signed in, by the link or otherwise: Clerk does not say by which."
        )
    yield (
        "A sign-in counts for the last mail before it. Who was still signed in and came back without a new sign-in is "
        "not seen."
    )


_WITHIN = {"hour": "an hour", "day": "a day", "week": "a week"}


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
