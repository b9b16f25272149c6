"""Asks for one token per row of a CSV with a bare httpx loop. No log, no mail, no limits."""

from __future__ import annotations

import argparse
import asyncio
import csv
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator


async def _worker(client: httpx.AsyncClient, rows: Iterator[dict[str, str]]) -> None:
    for row in rows:
        body = {"user_id": row["user_id"], "expires_in_seconds": 172_800}
        response = await client.post("/v1/sign_in_tokens", json=body)
        response.raise_for_status()
        assert response.json()["token"]


async def _ask(given: argparse.Namespace) -> None:
    key = {"Authorization": "Bearer sk_live_benchmark"}
    limits = httpx.Limits(max_connections=given.concurrency, max_keepalive_connections=given.concurrency)
    base = f"http://127.0.0.1:{given.port}"
    with given.csv.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        async with httpx.AsyncClient(base_url=base, headers=key, limits=limits) as client:
            await asyncio.gather(*(_worker(client, rows) for _ in range(given.concurrency)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("csv", type=Path)
    parser.add_argument("concurrency", type=int)
    asyncio.run(_ask(parser.parse_args()))


if __name__ == "__main__":
    main()
