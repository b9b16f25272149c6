"""Serve the sandbox with its inbox and landing page until Ctrl-C: `serve`, `serve_again`, `serve_preview`.

The pages themselves are in `sandbox/inbox/`.
"""

from __future__ import annotations

import errno
import shlex
import webbrowser
from contextlib import asynccontextmanager, closing, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.cli.interruption import interruption
from campaign.cli.sandbox_links import SandboxRenewal, SandboxUnsubscribe
from campaign.clock import SystemClock
from campaign.delivery.sandbox_time import latest_instant, shown_instant
from campaign.delivery.services import sandbox_log
from campaign.errors import RecipientsError, SettingsError
from campaign.landing import frontend_api_host, landing_page
from campaign.reporting.log_export import log_of
from campaign.reporting.rows import CampaignRows
from campaign.sandbox import Sandbox, SandboxError
from campaign.sandbox.httpd import PageServer
from campaign.sandbox.inbox import RENEWAL, inbox_pages, preview_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings

#: The default port of the inbox.
PORT = 8025

#: The path of the sandbox's Frontend API, on the same port as the landing page that calls it.
_FRONTEND_API = "/__clerk"


async def serve(
    settings: Settings, *, port: int, smtp_port: int, clerk_limits: bool, say: Callable[[str], None]
) -> None:
    """Serve the sandbox until Ctrl-C.

    Args:
        settings: the settings from the environment.
        port: the port of the inbox, the landing page and Clerk's APIs.
        smtp_port: the port of the mail server.
        clerk_limits: whether to apply Clerk's rate limits.
        say: called with the addresses and the variables to export, when everything can be reached.

    Raises:
        SettingsError: a live key is set, a port is in use, or the sandbox's folder cannot be used.
    """
    refuse_live_keys(settings)
    latest = latest_instant(settings.sandbox, sandbox_log(settings))
    serving = _served(settings, port=port, smtp_port=smtp_port, say=say, clerk_limits=clerk_limits)
    async with interruption() as asked, serving as sandbox:
        say(f"Sandbox in {settings.sandbox}, reachable only from this machine; nothing leaves it. Ctrl-C ends it.")
        if latest > SystemClock().now():
            say(f"It is {shown_instant(latest)} there, where an earlier run ended.")
        say(f"Inbox: {sandbox.clerk_url}\n")
        say("To use it from another program:\n")
        for line in to_export(sandbox):
            say(line)
        await asked.wait()


async def serve_again(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Serve the inbox after a run until Ctrl-C, and open it in the browser.

    It uses the default port or, if that is in use, a free one.

    Raises:
        SettingsError: a live key is set, or the sandbox's folder cannot be used.
    """
    refuse_live_keys(settings)
    for port in (PORT, 0):
        with suppress(_TakenError):
            async with interruption() as asked, _served(settings, port=port, smtp_port=0, say=say) as sandbox:
                say(f"Inbox: {sandbox.clerk_url} (Ctrl-C ends it)")
                webbrowser.open(sandbox.clerk_url)
                await asked.wait()
                return


async def serve_preview(
    load: Callable[[], Definition],
    *,
    email: str | None,
    step: str | None,
    locale: str | None,
    say: Callable[[str], None],
) -> None:
    """Serve a preview of a campaign's mails on a free port until Ctrl-C, and open it in the browser.

    Args:
        load: reads the campaign file.
        email: the address of the recipient to show first; by default the first row.
        step: the step to show; by default the first.
        locale: the locale to show; by default each row's own.
        say: called with the URL.

    Raises:
        CannotStartError: the campaign file or the CSV is wrong, or no row has the address.
    """
    with closing(CampaignRows(load, step=step, locale=locale)) as rows:
        number = rows.find(email, after=0, exact=True) if email else 1
        if isinstance(number, str):
            raise RecipientsError(number)
        async with interruption() as asked, PageServer(preview_app(rows)) as server:
            place = f"{server.url}/rows/{number}"
            say(f"Preview of {rows.name}: {place} (nothing is sent; Ctrl-C ends it)")
            webbrowser.open(place)
            await asked.wait()


def to_export(sandbox: Sandbox) -> list[str]:
    """Return the `export` lines that make another program use this sandbox."""
    settings = {
        "CLERK_API_URL": sandbox.clerk_url,
        "CLERK_SECRET_KEY": sandbox.secret_key,
        "CLERK_PUBLISHABLE_KEY": sandbox.publishable_key,
        "CAMPAIGN_SMTP_URL": sandbox.smtp_url,
    }
    return [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]


def refuse_live_keys(settings: Settings) -> None:
    """Refuse live keys, so that they are never used with the sandbox.

    Raises:
        SettingsError: a live key is set, or the publishable key is malformed.
    """
    if settings.clerk_secret_key is not None and settings.clerk_secret_key.get_secret_value().startswith("sk_live_"):
        raise SettingsError(
            "CLERK_SECRET_KEY is a live key and must not be used with the sandbox, which has its own keys: "
            "unset it and start again."
        )
    publishable = settings.clerk_publishable_key
    if publishable is None:
        return
    frontend_api_host(publishable)
    if publishable.startswith("pk_live_"):
        raise SettingsError(
            "CLERK_PUBLISHABLE_KEY is a live key and must not be used with the sandbox, which has its own keys: "
            "unset it and start again."
        )


class _TakenError(SettingsError):
    """Another program uses the port."""


@asynccontextmanager
async def _served(
    settings: Settings, *, port: int, smtp_port: int, say: Callable[[str], None], clerk_limits: bool = False
) -> AsyncIterator[Sandbox]:
    pages = partial(
        inbox_pages,
        landing=_landing,
        log_of=log_of(settings),
        command=_first_command(),
        unsubscribe=SandboxUnsubscribe(settings),
        renewal=SandboxRenewal(settings, say).answer,
    )
    try:
        async with Sandbox(
            settings.sandbox,
            port=port,
            smtp_port=smtp_port,
            clerk_limits=clerk_limits,
            pages=pages,
            begins_at=latest_instant(settings.sandbox, sandbox_log(settings)),
        ) as sandbox:
            yield sandbox
    except SandboxError as error:
        raise SettingsError(str(error)) from error
    except OSError as error:
        option = "--smtp-port" if str(error.filename).endswith(f":{smtp_port}") and smtp_port != port else "--port"
        if error.errno == errno.EADDRINUSE:
            raise _TakenError(
                f"{error.filename} is in use, perhaps by another `campaign sandbox`: end it, or add {option} and "
                "another number."
            ) from error
        raise SettingsError(
            f"{error.filename} cannot be used ({error.strerror}): add {option} and another number."
        ) from error


@lru_cache
def _landing(publishable_key: str, parameter: str) -> str:
    """Return the landing page for links with the token in this parameter."""
    try:
        return landing_page(
            publishable_key=publishable_key,
            redirect=None,
            frontend_api=_FRONTEND_API,
            parameter=parameter,
            renew=RENEWAL,
        )
    except SettingsError:
        # The parameter's name comes from the opened link, so it may be invalid.
        return landing_page(publishable_key=publishable_key, redirect=None, frontend_api=_FRONTEND_API)


def _first_command() -> str:
    """Return a command that sends mail to the sandbox: it runs a campaign that is here, or writes one."""
    own = sorted(Path().glob("*/campaign.toml"))
    # a sample with due times is of another day, so that nothing of it would be sent now
    samples = [file for file in sorted(Path("templates").glob("*/campaign.toml")) if _is_due_at_once(file)]
    found = next(iter([*own, *samples]), None)
    return shlex.join(["campaign", "run", str(found)]) if found else "campaign new welcome"


def _is_due_at_once(file: Path) -> bool:
    with suppress(OSError, ValueError):
        return "\n[schedule]" not in file.read_text("utf-8")
    return False
