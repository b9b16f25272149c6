"""Say what a watch is about to do, and ask once for all its campaigns: `WatchStart`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from campaign.clock import ScaledClock
from campaign.config.settings import CLERK_API
from campaign.reporting.question import said_yes
from campaign.reporting.summary import beginning, changes, number, where_the_mail_is
from campaign.sendlog import exists
from campaign.watching.start import StartReport
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from campaign.delivery.observer import Plan
    from campaign.delivery.services import Services
    from campaign.watching.version import CampaignVersion


class WatchStart(StartReport):
    """Prints each campaign with what is due and what waits, and asks unless it is the sandbox.

    Args:
        out: the console to write to.
        versions: the campaigns.
        assume_yes: do not ask.
    """

    def __init__(self, out: Console, versions: Sequence[CampaignVersion], *, assume_yes: bool) -> None:
        self._out = out
        self._versions = versions
        self._assume_yes = assume_yes
        self._log_is_new = False

    def opened(self, services: Services) -> None:
        """Say where the settings are from and where the data is."""
        self._services = services
        read = sorted({str(each.settings.dotenv) for each in self._versions if each.settings.dotenv})
        if services.maildir is not None:
            self._print(
                "Embedded sandbox: nothing leaves this machine. Using the built-in Clerk and mail server; "
                f"their data is in {services.maildir.parent}/."
            )
            if isinstance(services.clock, ScaledClock):
                self._print(beginning(services, is_watch=True))
            self._print(where_the_mail_is(services.maildir))
            return
        self._log_is_new = not exists(services.log)
        sources = f"the environment and {', '.join(read)}" if read else "the environment; there is no .env"
        self._print(f"Settings: {sources}. Send log: {services.log}{', which is new' if self._log_is_new else ''}.")
        self._print(
            "A changed setting needs a restart of the watch; campaign files, templates and CSVs are read again."
        )

    def serving(self, url: str) -> None:
        """Say where the watch can be asked how it is."""
        self._print(f"Answering at {url}/healthz and {url}/metrics.")

    def confirm(self, plans: Sequence[Plan], notices: Sequence[str]) -> bool:
        """Print what there is to send and return whether to go on."""
        for notice in notices:
            self._print(f"{notice}.")
        services, ready = self._services, {plan.definition.name: plan for plan in plans}
        through = services.smtp.label
        for version in self._versions:
            plan = ready.get(version.name)
            if plan is None:
                self._print(f"{version.name}: its recipients cannot be read now; the log says why.")
                continue
            for line in changes(plan):
                self._print(f"{version.name}: {line}")
            later = plan.queued - plan.to_send
            waits = f", {later:,} later" if later else ""
            sender = version.definition.email.sender
            self._print(
                f"{version.name}: {number(plan.to_send, 'email')} due now{waits}, from {sender} through {through}."
            )
        if services.maildir is not None or self._assume_yes:
            return True
        if services.clerk_key is not None and services.clerk_url != CLERK_API:
            self._print(f"CLERK_API_URL: the secret key and the token requests go to {services.clerk_url}.")
        log = f"The send log {services.log} is new." if self._log_is_new else f"The send log is {services.log}."
        due = number(sum(plan.to_send for plan in plans), "email")
        what = f"{due} now, and what becomes due from then on, for {number(len(self._versions), 'campaign')}"
        if said_yes(self._out, f"{log} Send {what}, through {through}?"):
            return True
        self._out.print("Nothing was sent.")
        return False

    def _print(self, line: str) -> None:
        """Print a line; control characters in it, from a file's name or a server's words, become spaces."""
        self._out.print(escape(printable(line)))
