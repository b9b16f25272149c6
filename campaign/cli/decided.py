"""Print what `retry`, `resolve` or `revoke` changed, with the next command to type: `tell`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from campaign.cli.group import DONE, UNFINISHED, say

if TYPE_CHECKING:
    from campaign.delivery.operator_commands import CommandResult


def tell(result: CommandResult, command: str) -> NoReturn:
    """Print what a command changed, and exit with the command's exit code.

    Args:
        result: what the command changed.
        command: the end of a command line for the same campaign.
    """
    from campaign.model import Revocation  # noqa: PLC0415
    from campaign.reporting.summary import number  # noqa: PLC0415

    answers = {
        Revocation.REVOKED: "revoked",
        Revocation.USED: "used already",
        Revocation.UNKNOWN: "unknown to Clerk or dead already",
    }
    lines = []
    if result.answers is not None:
        told = ", ".join(f"{result.answers[kind]:,} {what}" for kind, what in answers.items())
        lines.append(f"Tokens: {told}.")
    if result.kept:
        lines.append(f"Taken as sent: {number(result.kept, 'recipient')}.")
    if result.pending:
        lines.append(f"Clerk has not answered for {number(result.pending, 'token')}; type the same command again.")
    if result.queued:
        lines.append(f"Back in the queue: {number(result.queued, 'recipient')}. To send: campaign run {command}")
    say(lines or ["There was nothing to do."])
    raise SystemExit(UNFINISHED if result.pending else DONE)
