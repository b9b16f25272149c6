"""Open the sending of a watched campaign for one cycle: `open_cycle`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from campaign.clock import SystemClock
from campaign.delivery.patience import Patience
from campaign.delivery.sending import SendingParts, open_sending
from campaign.message.dkim.signer import signer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from campaign.delivery.sending import Sending
    from campaign.sendlog import SendLog
    from campaign.watching.events import CampaignEvents
    from campaign.watching.session import WatchSession
    from campaign.watching.version import CampaignVersion

#: A sending stays for rows that become due within this time (seconds); in a simulation at least two of the machine's.
_STAYS_S, _STAYS_AT_LEAST_S = 60.0, 2.0


@asynccontextmanager
async def open_cycle(
    version: CampaignVersion, log: SendLog, session: WatchSession, events: CampaignEvents
) -> AsyncIterator[Sending]:
    """Yield the sending of what is due, which waits for a service that does not work without an end.

    Args:
        version: the campaign.
        log: its log, in which its rows are enlisted.
        session: the services, the connections and the limits.
        events: told what happens.

    Raises:
        SettingsError: a key cannot be read.
    """
    definition, settings, services = version.definition, version.settings, session.services
    with signer_of(definition, settings, services.clock, sandbox=services.maildir is not None) as signer:
        parts = SendingParts(
            definition,
            version.messages,
            services,
            settings,
            events.observer(),
            signer,
            session.outbound,
            longest_wait=max(_STAYS_S, _STAYS_AT_LEAST_S * services.clock.speed),
            patience=Patience(SystemClock(), is_endless=True),
            on_token=events.token_issued,
        )
        async with log, open_sending(parts, log) as sending:
            yield sending
