"""`campaign serve`: answer unsubscribe links beside a run, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.group import SANDBOX, awaited, commands, loaded


@commands.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8026, show_default=True, help="The port to listen on.")
@SANDBOX
def serve(files: tuple[Path, ...], host: str, port: int, *, sandbox: bool) -> None:
    """Answer unsubscribe links beside a run, until Ctrl-C.

    A proxy with a certificate passes the address of `[unsubscribe] url` on to it.
    """
    from campaign.cli.unsubscribe_server import serve_links  # noqa: PLC0415

    awaited(serve_links([loaded(file) for file in files], host=host, port=port, sandbox=sandbox, say=click.echo))
