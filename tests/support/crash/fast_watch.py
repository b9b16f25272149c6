"""Run `campaign watch` at given servers in scaled time: `python -m support.crash.fast_watch BEGAN START SPEED watch …`.

The program's own `--speed` is for its sandbox, which a kill would end, too. START is the time (seconds since the epoch)
that it was, for the program, at the machine's BEGAN; so a watch that is started again finds a later time. A log in
PostgreSQL keeps the machine's time: leases pass as fast as they do, and there are no rates, since a shared permit has
an instant of the server's clock.
"""

from __future__ import annotations

import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from campaign.cli import main as campaign_main
from campaign.clock import ScaledClock
from campaign.delivery.services import real_services
from campaign.sendlog.postgres.worker import PostgresWorker
from campaign.watching import engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.services import Services


def main() -> None:
    """Take the first three arguments, and run the program with the others."""
    began, start, speed = (float(sys.argv.pop(1)) for _ in range(3))
    clock = ScaledClock(start + (time.time() - began) * speed, speed)

    @asynccontextmanager
    async def open_services(definition: Definition, settings: Settings, **_: Any) -> AsyncIterator[Services]:  # noqa: ANN401 - those of the real one
        yield replace(real_services(definition, settings), clock=clock, clerk_rates=(), is_simulation=True)

    def real_hold(worker: PostgresWorker) -> float:
        return _holds.get(worker, inf) * speed

    vars(engine)["open_services"] = open_services
    setattr(PostgresWorker, "intent_holds_s", property(real_hold, _holds.__setitem__))  # noqa: B010 - mypy knows a field
    campaign_main()


#: How long an intent holds for each worker, in seconds of the machine as its lease is.
_holds: dict[PostgresWorker, float] = {}


if __name__ == "__main__":
    main()
