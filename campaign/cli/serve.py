"""`campaign serve`: answer unsubscribe links and requests for new links beside a run, until Ctrl-C."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from campaign.cli.group import SANDBOX, awaited, commands, loaded


@commands.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8026, show_default=True, help="The port to listen on.")
@SANDBOX
def serve(files: tuple[Path, ...], host: str, port: int, *, sandbox: bool) -> None:
    """Answer the links of mails beside a run, until Ctrl-C.

    It unsubscribes who says no, and queues a mail again for who asks for a new link (`[link] renew`), which the next
    run sends. A proxy with a certificate passes the address of `[unsubscribe] url` on to it.
    """
    from campaign.cli.link_server import serve_links  # noqa: PLC0415

    campaigns = [loaded(file) for file in files]
    warn = partial(click.echo, err=True)
    awaited(serve_links(campaigns, host=host, port=port, sandbox=sandbox, say=click.echo, warn=warn))
