"""`campaign revoke`: revoke every token of the campaign that may still be pending."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

from campaign.cli.consent import confirmation
from campaign.cli.decided import tell
from campaign.cli.group import FILE, SANDBOX, YES, as_typed, awaited, commands, loaded


@commands.command()
@FILE
@SANDBOX
@YES
def revoke(file: Path, *, sandbox: bool, yes: bool) -> None:
    """Revoke every token of a campaign that may still be pending.

    The links in the emails that were sent stop working. `campaign resend` sends new ones.
    """
    from campaign.delivery.operator_commands import revoke_tokens  # noqa: PLC0415
    from campaign.reporting.summary import number  # noqa: PLC0415

    definition, settings = loaded(file)
    confirm = confirmation(
        definition,
        settings,
        sandbox=sandbox,
        yes=yes,
        question=lambda count: f"Revoke {number(count, 'live link')} of {definition.name}, so that they stop working?",
    )
    command = as_typed(file, sandbox=sandbox)
    result = awaited(revoke_tokens(definition, settings, sandbox=sandbox, confirm=confirm))
    tell(result, command, after=f"To send new links: campaign resend {command} --revoked")
