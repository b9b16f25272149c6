"""Run the server of `campaign serve` until Ctrl-C: `serve_links`."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from typing import TYPE_CHECKING

from campaign.cli.inbox import interruption
from campaign.clock import SystemClock
from campaign.delivery.services import log_path
from campaign.errors import DefinitionError, SettingsError
from campaign.reporting.summary import number
from campaign.sandbox.httpd import PageServer, listen
from campaign.sendlog import SuppressionList
from campaign.unsubscribe import UnsubscribeEndpoint, application

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.sendlog import Suppression


async def serve_links(
    campaigns: Sequence[tuple[Definition, Settings]],
    *,
    host: str,
    port: int,
    sandbox: bool,
    say: Callable[[str], None],
) -> None:
    """Answer the unsubscribe links of campaigns until Ctrl-C.

    Args:
        campaigns: the campaigns, each with the settings that hold for it.
        host: the address to listen on.
        port: the port; 0 chooses a free one.
        sandbox: use the sandbox's send log, whatever the settings are.
        say: called with each line to print.

    Raises:
        DefinitionError: a campaign has no `[unsubscribe]` with a url.
        SettingsError: the address cannot be used.
        SendLogUnusableError: the send log cannot be used.
    """
    urls = [_url_of(definition) for definition, _ in campaigns]
    paths = dict.fromkeys(log_path(settings, definition, asked=sandbox) for definition, settings in campaigns)
    try:
        listener = listen(port, host)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        hint = "end what uses it, or add --port and another number" if taken else "check --host and --port"
        raise SettingsError(f"{error.filename} cannot be used ({error.strerror}): {hint}.") from error
    done: list[Suppression] = []
    with ExitStack() as opened:
        logs = [opened.enter_context(SuppressionList(path, SystemClock())) for path in paths]
        server = PageServer(application(UnsubscribeEndpoint(logs, done.append)), listener)
        async with interruption() as asked, server:
            for (definition, _), url in zip(campaigns, urls, strict=True):
                say(f"{definition.name}: {url}/… is answered at {server.url}")
            say(f"Who unsubscribes is written to {', '.join(map(str, paths))}. Ctrl-C ends it.")
            await asked.wait()
        forged = sum(log.forged for log in logs)
    said = f"{number(len(done), 'recipient')} unsubscribed."
    say(said if not forged else f"{said} {number(forged, 'false link')} so far; they changed nothing.")


def _url_of(definition: Definition) -> str:
    section = definition.unsubscribe
    if section is None or section.url is None:
        raise DefinitionError(
            f"{definition.path}: the campaign has no unsubscribe links; add [unsubscribe] with "
            'url = "https://mail.acme.example/u".'
        )
    return section.url
