"""Print what `retry`, `resolve`, `resend` or `revoke` changed, with the next command to type: `tell`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from campaign.cli.group import DONE, INTERRUPTED, UNFINISHED, say

if TYPE_CHECKING:
    from campaign.delivery.operator_commands import CommandResult


def tell(result: CommandResult, command: str, *, after: str = "") -> NoReturn:
    """Print what a command changed, and exit with the command's exit code.

    Args:
        result: what the command changed.
        command: the end of a command line for the same campaign.
        after: what can be done next, if a link was revoked.
    """
    if result.declined:
        say(["Nothing was changed."])
        raise SystemExit(INTERRUPTED)
    from campaign.model import Revocation  # noqa: PLC0415
    from campaign.reporting.summary import number  # noqa: PLC0415

    answers = {
        Revocation.REVOKED: "revoked",
        Revocation.USED: "already used",
        Revocation.UNKNOWN: "unknown to Clerk or already revoked",
    }
    lines = []
    if result.answers is not None:
        told = ", ".join(f"{result.answers[kind]:,} {what}" for kind, what in answers.items())
        lines.append(f"Tokens: {told}.")
    if result.kept:
        lines.append(f"{number(result.kept, 'recipient')} marked as sent.")
    if result.pending:
        lines.append(f"Clerk has not confirmed {number(result.pending, 'token')}; run the same command again.")
    if result.queued:
        lines.append(f"{number(result.queued, 'recipient')} queued again. To send: campaign run {command}")
    if after and result.answers and result.answers[Revocation.REVOKED]:
        lines.append(after)
    say(lines or ["There was nothing to do."])
    raise SystemExit(UNFINISHED if result.pending else DONE)
