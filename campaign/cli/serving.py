"""The landing page and the sandbox: `landing`, `sandbox`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from campaign.cli.frame import awaited, commands, say, settings_of


@commands.command()
@click.option("--publishable-key", metavar="KEY", help="Clerk's pk_…; by default CLERK_PUBLISHABLE_KEY.")
@click.option("--redirect", metavar="URL", help="Where people go once signed in: /a/path or https://….")
@click.option("--parameter", default="token", show_default=True, help="link.parameter of the campaign file.")
@click.option("--framework", type=click.Choice(["next"]), help="A page for Next.js with @clerk/nextjs.")
@click.option("--router", type=click.Choice(["app", "pages"]), help="Which router of Next.js; by default app.")
@click.option("--out", type=click.Path(path_type=Path), help="Write it to this file instead of the terminal.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def landing(*, out: Path | None, force: bool, **choices: Any) -> None:  # noqa: ANN401 - of `chosen_page`
    """Write the page that the links of the mail lead to."""
    from campaign.cli.output_file import place_for, write_page  # noqa: PLC0415
    from campaign.landing import chosen_page  # noqa: PLC0415

    page = chosen_page(lambda: settings_of().clerk_publishable_key, **choices)
    if out is None:
        say([page], end="")
    else:
        write_page(place_for(out, force=force), page, mode=0o644)
        click.echo(f"Wrote {out}; how to serve it stands at its top.")


@commands.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8025, show_default=True, help="Of inbox and Clerk.")
@click.option("--smtp-port", type=click.IntRange(0, 65535), default=1025, show_default=True, help="Of the mail server.")
@click.option("--clerk-limits", is_flag=True, help="Answer 429 where Clerk's documented rate limits are passed.")
def sandbox(port: int, smtp_port: int, *, clerk_limits: bool) -> None:
    """Serve the sandbox until Ctrl-C: inbox, landing page, Clerk's APIs and a mail server, on this machine only."""
    from campaign.cli.inbox import serve  # noqa: PLC0415

    awaited(serve(settings_of(), port=port, smtp_port=smtp_port, clerk_limits=clerk_limits, say=click.echo))
