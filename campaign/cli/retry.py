"""`campaign retry`: put failed or skipped recipients back into the queue."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

import click

from campaign.cli.decided import tell
from campaign.cli.group import EMAIL, FILE, SANDBOX, as_typed, awaited, commands, loaded


@commands.command()
@FILE
@click.option("--state", type=click.Choice(["failed", "skipped", "bounced"]), default="failed", show_default=True)
@EMAIL
@SANDBOX
def retry(file: Path, state: str, email: str | None, *, sandbox: bool) -> None:
    """Put failed recipients back into the queue."""
    from campaign.delivery.operator_commands import retry_rows  # noqa: PLC0415
    from campaign.model import Status  # noqa: PLC0415

    definition, settings = loaded(file)
    settled = awaited(retry_rows(definition, settings, state=Status(state), email=email, sandbox=sandbox))
    tell(settled, as_typed(file, sandbox=sandbox))
