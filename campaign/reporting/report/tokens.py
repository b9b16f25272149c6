"""Where the sign-in tokens of a campaign are. Neither a token nor its id is in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.model import Revocation, Status

if TYPE_CHECKING:
    from datetime import datetime

    from campaign.model import Summary
    from campaign.sendlog.aggregates import Aggregates


@dataclass(frozen=True, slots=True)
class Tokens:
    """Every token that Clerk issued, by where it is; the first six numbers are all of `issued`."""

    #: Whose id is known.
    issued: int
    #: In messages that were taken, and not revoked since.
    sent: int
    #: In messages that were perhaps taken.
    uncertain: int
    #: Of rows that are under way.
    under_way: int
    #: Revoked, or unknown to Clerk when they were to be, or dead by a revocation whose answer was lost.
    revoked: int
    #: To be revoked; Clerk has not confirmed it.
    pending: int
    #: Used before they could be revoked.
    used: int
    #: Of these, not in a message that arrived: somebody may have signed in with a link that was not to be.
    alarming: int
    #: Of `sent` and `uncertain`, those that can still be used unless they were, and until when the last of them can.
    living: int
    until: datetime | None
    #: Perhaps issued, with an id that nobody knows; and of these, those that have not expired, until when.
    orphans: int
    living_orphans: int
    orphans_until: datetime | None


def tokens(log: Aggregates, summary: Summary, *, came: int) -> Tokens:
    """Return where the tokens are.

    Args:
        log: the campaign.
        summary: its counts.
        came: tokens that arrived and whose row has gone on since.
    """
    carried = {each.state: each for each in log.tokens_carried()}
    in_mails = [carried[state] for state in (Status.SENT, Status.UNCERTAIN) if state in carried]
    known = {state: carried[state].number if state in carried else 0 for state in Status}
    answers, alarming = Counter[str | None](), 0
    for outcome, arrived, number in log.revocations():
        answers[outcome] += number
        alarming += number if outcome == Revocation.USED and not arrived else 0
    until = max((each.until for each in in_mails if each.living), default=0.0)
    return Tokens(
        issued=came + known[Status.ISSUING],
        sent=known[Status.SENT],
        uncertain=known[Status.UNCERTAIN],
        under_way=sum(known[state] for state in Status if state not in {Status.SENT, Status.UNCERTAIN}),
        revoked=answers[Revocation.REVOKED] + answers[Revocation.UNKNOWN],
        pending=answers[None],
        used=answers[Revocation.USED],
        alarming=alarming,
        living=sum(each.living for each in in_mails),
        until=instant(until) if until else None,
        orphans=log.orphans(),
        living_orphans=summary.orphans,
        orphans_until=summary.orphans_until,
    )
