"""Hold and open a campaign's send log: `open_log`."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from campaign.errors import CampaignError
from campaign.sendlog import SendLog, held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.clock import Clock
    from campaign.config.definition import Definition
    from campaign.delivery.services import Services


@contextmanager
def open_log(services: Services, definition: Definition, clock: Clock) -> Iterator[SendLog]:
    """Hold and open a campaign's send log while the block runs; an empty one is removed."""
    with held(services.log) as database:
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
