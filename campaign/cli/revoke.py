"""`campaign revoke`: revoke every token of the campaign that may still be pending."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

from campaign.cli.decided import tell
from campaign.cli.group import FILE, SANDBOX, as_typed, awaited, commands, loaded


@commands.command()
@FILE
@SANDBOX
def revoke(file: Path, *, sandbox: bool) -> None:
    """Revoke every token of a campaign that may still be pending.

    The links in the emails that were sent stop working. There is no way back.
    """
    from campaign.delivery.operator_commands import revoke_tokens  # noqa: PLC0415

    definition, settings = loaded(file)
    tell(awaited(revoke_tokens(definition, settings, sandbox=sandbox)), as_typed(file, sandbox=sandbox))
