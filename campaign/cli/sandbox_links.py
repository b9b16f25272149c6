"""Answer the links of the sandbox's mails from its send log: `SandboxUnsubscribe`, `SandboxRenewal`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from campaign.cli.link_server import told_renewal
from campaign.config.definition import load_definition
from campaign.delivery.services import clock_of, sandbox_log
from campaign.errors import CampaignError
from campaign.renewal import RenewalEndpoint, permission
from campaign.sendlog import Renewals, SuppressionList
from campaign.unsubscribe import UnsubscribeEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.sendlog import LastMail


class SandboxUnsubscribe:
    """Answers the unsubscribe links of the sandbox's mails, from the sandbox's send log, once there is one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = sandbox_log(settings)

    def knows(self, token: str) -> bool:
        """Return whether the token is of the sandbox's send log."""
        if not self._log.exists():
            return False
        with SuppressionList(self._log, clock_of(self._settings, self._log)) as suppressions:
            return suppressions.knows(token)

    async def answer(self, request: Request) -> Response:
        """Answer a request for a link."""
        if not self._log.exists():
            return await UnsubscribeEndpoint([]).answer(request)
        with SuppressionList(self._log, clock_of(self._settings, self._log)) as suppressions:
            return await UnsubscribeEndpoint([suppressions]).answer(request)


class SandboxRenewal:
    """Answers requests for a new link, once there is a send log, by the campaign file of the last run.

    Args:
        settings: the settings.
        say: called with a line for each mail that the next run sends again.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._log = sandbox_log(settings)
        self._say = say

    async def answer(self, request: Request) -> Response:
        """Answer a request for a new link."""
        if not self._log.exists():
            return await self._endpoint().answer(request)
        with Renewals(self._log, clock_of(self._settings, self._log)) as log:
            return await self._endpoint(log).answer(request)

    def _endpoint(self, *logs: Renewals) -> RenewalEndpoint:
        served = [(log, permission(_definition_of)) for log in logs]
        return RenewalEndpoint(served, on_renewed=lambda mail: self._say(told_renewal(mail)), on_fault=self._say)


def _definition_of(mail: LastMail) -> Definition | None:
    """Return the campaign of a mail, or None if its file is not there any more."""
    try:
        return load_definition(Path(mail.file))
    except CampaignError:
        return None
