"""Count where the sign-in tokens of a campaign are, without the tokens and their ids: `tokens`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.model import Revocation, Status

if TYPE_CHECKING:
    from datetime import datetime

    from campaign.sendlog import Summary
    from campaign.sendlog.aggregates import Aggregates


@dataclass(frozen=True, slots=True)
class TokenFigures:
    """The tokens that Clerk issued, by where they are; `sent` to `used` are parts of `issued`."""

    #: Tokens with a known id.
    issued: int
    #: In accepted messages, and not revoked since.
    sent: int
    #: In messages that were perhaps accepted.
    uncertain: int
    #: Of rows in progress.
    under_way: int
    #: Revoked, or unknown to Clerk at revocation, or revoked although the reply was lost.
    revoked: int
    #: Waiting for revocation; Clerk has not confirmed it.
    pending: int
    #: Used before they could be revoked.
    used: int
    #: Part of `used`: not in a message that arrived, so a person may have signed in with a link not meant for use.
    alarming: int
    #: Part of `sent` and `uncertain`: not yet expired, so usable unless used already; and when the last one expires.
    living: int
    until: datetime | None
    #: Perhaps issued, but the id is unknown; then the part that has not expired; then when the last one expires.
    orphans: int
    living_orphans: int
    orphans_until: datetime | None


def tokens(log: Aggregates, summary: Summary, *, came: int) -> TokenFigures:
    """Return where the tokens are.

    Args:
        log: the campaign in its send log.
        summary: its counts.
        came: tokens that arrived and whose row has moved on since.
    """
    carried = {each.state: each for each in log.tokens_carried()}
    in_mails = [carried[state] for state in (Status.SENT, Status.UNCERTAIN) if state in carried]
    known = {state: carried[state].number if state in carried else 0 for state in Status}
    answers, alarming = Counter[str | None](), 0
    for outcome, arrived, number in log.revocations():
        answers[outcome] += number
        alarming += number if outcome == Revocation.USED and not arrived else 0
    until = max((each.until for each in in_mails if each.living), default=0.0)
    return TokenFigures(
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
