"""A worker that uses permits of a rate which it shares, as fast as it gets them; its record is when it used each."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from array import array
from contextlib import suppress

from campaign.clock import SystemClock
from campaign.config.postgres_url import parse_postgres_url
from campaign.delivery.worker_rates import worker_rates
from campaign.model import Rate, Status
from campaign.sendlog.postgres.rates import PostgresRates

#: Calls that wait for permits at the same time: the connections to a mail server.
_CALLS = 10
#: From the permit until the call could leave: the commit of an intent.
_COMMIT_S = 0.005


async def use(url: str, rate: str, number: int) -> array[float]:
    """Use permits until standard input is closed; return the instants (seconds, monotonic)."""
    stamps, clock = array("d"), SystemClock()
    async with worker_rates(PostgresRates(parse_postgres_url(url), f"worker {number}"), clock) as rates:
        limiter = rates.limiter("messages", [Rate.parse(rate)], Status.SENDING)

        async def call() -> None:
            while True:
                permit = await limiter.acquire()
                await clock.sleep(_COMMIT_S)
                if await permit.used():
                    stamps.append(time.monotonic())

        calls = asyncio.gather(*[call() for _ in range(_CALLS)])
        await asyncio.to_thread(sys.stdin.buffer.read)
        calls.cancel()
        with suppress(asyncio.CancelledError):
            await calls
    return stamps


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("rate")
    parser.add_argument("number", type=int)
    arguments = parser.parse_args()
    sys.stdout.write(json.dumps({"port": 0}) + "\n")
    sys.stdout.flush()
    stamps = asyncio.run(use(arguments.url, arguments.rate, arguments.number))
    sys.stdout.write(json.dumps({"stamps": list(stamps), "cpu_seconds": time.process_time()}) + "\n")


if __name__ == "__main__":
    main()
