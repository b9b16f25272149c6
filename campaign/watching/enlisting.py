"""Enlist the recipients of a watched campaign while others are sent: `enlist`."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from campaign.delivery.preparing import prepare
from campaign.delivery.waitlist import read_waitlist
from campaign.errors import DefinitionError, RecipientsError
from campaign.model import LONGEST_WAIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from campaign.delivery.observer import Plan
    from campaign.sendlog import Recovered, SendLog
    from campaign.watching.session import WatchSession
    from campaign.watching.version import CampaignVersion

#: A CSV of this size or more is read while nothing is sent: enlisting 10,000 rows takes about a second.
_LARGE_BYTES = 1_000_000


async def enlist(
    session: WatchSession,
    version: CampaignVersion,
    log: SendLog,
    recovered: Recovered,
    waiting: Callable[[str, float], object],
) -> Plan:
    """Read Clerk's waitlist, or look at the CSV, and enlist its rows; return what there is to send.

    Args:
        session: the services, and whose turn it is to write to the log.
        version: the campaign.
        log: its log; nothing of this campaign is sent meanwhile.
        recovered: what a crash left, for the plan.
        waiting: told why Clerk's waitlist is not read now; see `read_waitlist`.

    Raises:
        CannotStartError: the recipients cannot be read, or a row's message cannot be rendered; nothing is enlisted.
        ServiceRefusesError: Clerk does not answer for its waitlist.
        SendLogError: the log cannot be written.
    """
    services, definition = session.services, version.definition
    if definition.recipients.clerk:
        limiter = session.outbound.limits.clerk
        if limiter is None:
            raise DefinitionError(
                f"{definition.path}: it reads Clerk's waitlist, and no campaign of this watch called Clerk when it "
                "began; start the watch again"
            )
        services.learn(definition)
        definition = await read_waitlist(
            definition, services, partial(asyncio.to_thread, log.begun_keys), limiter, waiting
        )
    elif not session.files.is_whole(definition.recipients.file):
        raise RecipientsError(
            f"{definition.recipients.file}: its last line has no end, so the rest may still be on its way. It is read "
            "when nothing was written to it for half a minute"
        )

    def work() -> Plan:
        plan = prepare(
            log,
            definition,
            version.messages,
            services,
            recovered=recovered,
            limit=definition.recipients.batch,
            stays_until=services.clock.now() + LONGEST_WAIT.total_seconds(),
            is_stopped=session.ending.is_set,
        )
        if not version.definition.recipients.clerk:
            services.learn(definition)
        return plan

    is_large = _size(definition.recipients.file) >= _LARGE_BYTES
    async with session.turns.reading(alone=is_large, pause=session.pause):
        return await asyncio.to_thread(work)  # the event loop goes on meanwhile


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
