"""`campaign sandbox`: serve the sandbox until Ctrl-C."""

from __future__ import annotations

import click

from campaign.cli.group import awaited, commands, echo, settings_of


@commands.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8025, show_default=True, help="The port of the inbox and of Clerk."
)
@click.option(
    "--smtp-port", type=click.IntRange(0, 65535), default=1025, show_default=True, help="The port of the mail server."
)
@click.option("--clerk-limits", is_flag=True, help="Answer 429 above Clerk's documented rate limits.")
def sandbox(port: int, smtp_port: int, *, clerk_limits: bool) -> None:
    """Serve the sandbox until Ctrl-C: inbox, Clerk, mail server.

    It also serves the landing page. All of it listens on this machine only.
    """
    from campaign.cli.inbox import serve  # noqa: PLC0415

    awaited(serve(settings_of(), port=port, smtp_port=smtp_port, clerk_limits=clerk_limits, say=echo))
