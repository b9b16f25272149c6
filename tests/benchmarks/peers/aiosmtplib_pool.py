"""Sends the benchmark's message to every row of a CSV with plain aiosmtplib and `EmailMessage`. No log, no tokens."""

from __future__ import annotations

import argparse
import asyncio
import csv
import html
import re
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

import aiosmtplib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CONNECTIONS = 10
_PLACE = re.compile(r"{{ (\w+) }}")

_Row = dict[str, str]


def _builder(templates: Path, sender: str, subject: str) -> Callable[[_Row], EmailMessage]:
    markup = (templates / "email.html").read_text(encoding="utf-8")
    text = (templates / "email.txt").read_text(encoding="utf-8")

    def build(row: _Row) -> EmailMessage:
        message = EmailMessage()
        message["From"] = sender
        message["To"] = row["email"]
        message["Subject"] = _PLACE.sub(lambda found: row[found[1]], subject)
        message.set_content(_PLACE.sub(lambda found: row[found[1]], text))
        message.add_alternative(_PLACE.sub(lambda found: html.escape(row[found[1]]), markup), subtype="html")
        return message

    return build


async def _connection(port: int, rows: Iterator[_Row], build: Callable[[_Row], EmailMessage]) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
        for row in rows:
            await client.send_message(build(row))


async def _send(given: argparse.Namespace) -> None:
    build = _builder(given.templates, given.sender, given.subject)
    with given.csv.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        await asyncio.gather(*(_connection(given.port, rows, build) for _ in range(_CONNECTIONS)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("csv", type=Path)
    parser.add_argument("templates", type=Path)
    parser.add_argument("sender")
    parser.add_argument("subject")
    asyncio.run(_send(parser.parse_args()))


if __name__ == "__main__":
    main()
