"""Hold and open a campaign's send log: `open_log`."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from campaign.errors import CampaignError
from campaign.sendlog import SendLog, held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.clock import Clock
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.services import Services


#: A lease outlasts the wait for the reply to the dot, by the time from one beat to the next, the time from the intent
#: to the dot (a tenth of the lease each), and a margin for slow machines.
_LEASE_PER_REPLY, _LEASE_MARGIN = 1.25, timedelta(seconds=10)


def lease_of(settings: Settings) -> timedelta:
    """Return how long a run keeps its rows when it is not heard of."""
    return settings.reply_timeout * _LEASE_PER_REPLY + _LEASE_MARGIN


@contextmanager
def open_log(
    services: Services, definition: Definition, clock: Clock, *, with_others: bool = False
) -> Iterator[SendLog]:
    """Hold and open a campaign's send log while the block runs; an empty one is removed.

    Args:
        services: where the log is.
        definition: the campaign file.
        clock: the time.
        with_others: other runs may use the log, too, if it can be shared.
    """
    with held(services.log, with_others=with_others) as database:
        made = not database.exists()
        log, unused = SendLog(database, definition.name, clock), False
        try:
            yield log
        finally:
            with suppress(CampaignError):
                unused = made and log.is_empty()
            log.close()
            if unused:
                database.discard()
