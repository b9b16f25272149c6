"""`campaign landing`: write the page that the links of the emails lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from campaign.cli.group import commands, echo, say, settings_of


@commands.command()
@click.option("--publishable-key", metavar="KEY", help="Clerk's pk_…; by default CLERK_PUBLISHABLE_KEY.")
@click.option("--redirect", metavar="URL", help="Where people go after they sign in: /a/path or https://….")
@click.option("--parameter", default="token", show_default=True, help="link.parameter of the campaign file.")
@click.option("--renew", metavar="URL", help="Where `campaign serve` answers [link] renew: …/renew.")
@click.option("--framework", type=click.Choice(["next"]), help="Write a page for Next.js with @clerk/nextjs.")
@click.option("--router", type=click.Choice(["app", "pages"]), help="The router of Next.js; by default app.")
@click.option("--out", type=click.Path(path_type=Path), help="Write it to this file instead of the terminal.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def landing(*, out: Path | None, force: bool, **choices: Any) -> None:  # noqa: ANN401 - handed to `chosen_page`
    """Write the page that the links of the emails lead to."""
    from campaign.cli.output_file import place_for, write_page  # noqa: PLC0415
    from campaign.landing import chosen_page  # noqa: PLC0415

    page = chosen_page(lambda: settings_of().clerk_publishable_key, **choices)
    if out is None:
        say([page], end="", data=True)
    else:
        write_page(place_for(out, force=force), page, mode=0o644)
        echo(f"Wrote {out}; its first lines say how to serve it.")
