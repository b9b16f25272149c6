"""Run the server of `campaign serve` until Ctrl-C: `serve_links`."""

from __future__ import annotations

import errno
import shlex
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.cli.interruption import interruption
from campaign.config.definition.unsubscribe import RENEWAL_PATH
from campaign.delivery.services import clock_of, log_path
from campaign.errors import DefinitionError, SettingsError
from campaign.renewal import RenewalEndpoint, permission
from campaign.reporting.summary import number
from campaign.sandbox.httpd import PageServer, listen
from campaign.sendlog import MAX_RENEWALS, Renewals, SuppressionList
from campaign.unsubscribe import UnsubscribeEndpoint, application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.sendlog import LastMail, LogLocation, Suppression


async def serve_links(
    campaigns: Sequence[tuple[Definition, Settings]],
    *,
    host: str,
    port: int,
    sandbox: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Answer the unsubscribe links of campaigns, and their readers' requests for new links, until Ctrl-C.

    Args:
        campaigns: the campaigns, each with the settings that hold for it.
        host: the address to listen on.
        port: the port; 0 chooses a free one.
        sandbox: use the sandbox's send log, whatever the settings are.
        say: called with each line to print.
        warn: called with a line for each mail that the next run sends again, and for each fault.

    Raises:
        DefinitionError: a campaign has neither `[unsubscribe]` with a url nor `[link]` with `renew`.
        SettingsError: the address cannot be used.
        SendLogUnusableError: the send log cannot be used.
    """
    served: dict[LogLocation, dict[str, Definition]] = {}
    clocks = {}
    for definition, settings in campaigns:
        _require_links(definition)
        path = log_path(settings, definition, asked=sandbox)
        served.setdefault(path, {})[definition.name] = definition
        clocks[path] = clock_of(settings, path)
    try:
        listener = listen(port, host)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        hint = "end what uses it, or add --port and another number" if taken else "check --host and --port"
        raise SettingsError(f"{error.filename} cannot be used ({error.strerror}): {hint}.") from error
    done: list[Suppression] = []
    renewed: list[LastMail] = []

    def on_renewed(mail: LastMail) -> None:
        renewed.append(mail)
        warn(told_renewal(mail))

    with ExitStack() as opened:
        logs = [opened.enter_context(SuppressionList(path, clocks[path])) for path in served]
        renewals = [opened.enter_context(Renewals(path, clocks[path])) for path in served]
        endpoint = RenewalEndpoint(
            [(log, permission(partial(_definition_of, served[log.place]))) for log in renewals],
            on_renewed=on_renewed,
            on_fault=warn,
        )
        server = PageServer(application(UnsubscribeEndpoint(logs, done.append, warn), endpoint.routes), listener)
        async with interruption() as asked, server:
            for definition, _ in campaigns:
                for line in _announced(definition, server.url):
                    say(line)
            say(f"What readers ask for is written to {', '.join(map(str, served))}. Ctrl-C ends it.")
            await asked.wait()
        forged = sum(log.forged for log in logs)
        declined = sum(log.declined for log in renewals)
    said = f"{number(len(done), 'recipient')} unsubscribed."
    if renewed:
        wish = f"{number(len(renewed), 'recipient')} asked for a new link"
        said += f" {wish}; `campaign run FILE` or `campaign watch` sends it."
    say(said if not forged else f"{said} {number(forged, 'false link')} so far; they changed nothing.")
    if declined:
        why = f"an address gets at most one in 10 minutes and {MAX_RENEWALS} in all, and only for a mail that was sent"
        say(f"{number(declined, 'request')} for a new link declined so far: {why}.")


def told_renewal(mail: LastMail) -> str:
    """Return a line about a mail that the next run sends again; it names no address."""
    row = f"line {mail.line} of {Path(mail.source).name}"
    command = f"campaign run {shlex.quote(mail.file)}"
    return f"{mail.campaign}: {row} asked for a new link; without `campaign watch`, type: {command}"


def _require_links(definition: Definition) -> None:
    if definition.renewal_url is None and not definition.renews:
        raise DefinitionError(
            f"{definition.path}: the campaign has no links to answer; add [unsubscribe] with "
            'url = "https://mail.acme.example/u", or renew = true under [link].'
        )


def _announced(definition: Definition, server: str) -> Iterator[str]:
    """Yield what is answered for a campaign, and where."""
    if definition.unsubscribe is not None and definition.unsubscribe.url is not None:
        yield f"{definition.name}: {definition.unsubscribe.url}/… is answered at {server}"
    if definition.renews:
        public = definition.renewal_url or "what asks for a new link"
        yield f"{definition.name}: {public} is answered at {server}/{RENEWAL_PATH}"


def _definition_of(definitions: Mapping[str, Definition], mail: LastMail) -> Definition | None:
    return definitions.get(mail.campaign)
