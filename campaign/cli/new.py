"""`campaign new`: write a working folder to start from."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from campaign.cli.group import commands, say, settings_of


@commands.command()
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--like",
    type=click.Choice(["waitlist", "cart", "promotion", "survey"]),
    default="waitlist",
    show_default=True,
    help="What to begin with.",
)
def new(name: Path, *, like: str) -> None:
    """Write a working campaign to start from.

    NAME is a new folder: a campaign file whose comments explain each key, its templates and a small CSV. It can be run
    in the sandbox at once.
    """
    from campaign.clock import SystemClock, instant  # noqa: PLC0415
    from campaign.delivery.sandbox_time import latest_instant  # noqa: PLC0415
    from campaign.delivery.services import sandbox_log  # noqa: PLC0415
    from campaign.samples import CAMPAIGN_FILE, SAMPLES, write_sample  # noqa: PLC0415

    sample, settings = SAMPLES[like], settings_of()
    # a run in the sandbox begins where an earlier one ended, if that is later than now
    now = max(SystemClock().now(), latest_instant(settings.sandbox, sandbox_log(settings)))
    files = write_sample(name, sample, now=instant(now))
    file = shlex.quote(str(name / CAMPAIGN_FILE))
    for_real = settings.clerk_secret_key is not None or settings.smtp is not None
    options = " ".join(["", *filter(None, [sample.options, "--sandbox" if for_real else ""])])
    say(
        [
            f"Wrote {name}: {', '.join(files)}.",
            "To try it in the sandbox, where nothing leaves this machine, type:",
            "",
            f"    campaign run {file}{options}",
            "    campaign sandbox",
            "",
            f"The comments in {CAMPAIGN_FILE} explain each key. Put your own people in place of those in {sample.csv},",
            f"change the templates, and type: campaign check {file}",
        ]
    )
