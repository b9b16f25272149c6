"""Reading Clerk's waitlist page by page, and writing it down beside the send log."""

from __future__ import annotations

import asyncio
import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from campaign.clerk.client import Clerk
from campaign.config.definition import load_definition
from campaign.config.smtp_url import SmtpServer
from campaign.delivery import waitlist
from campaign.delivery.rate_limiter import RateLimiter
from campaign.delivery.services import Services
from campaign.delivery.waitlist import read_waitlist
from campaign.errors import CampaignError, RecipientsError, ServiceRefusesError
from campaign.model import Rate, Status
from support.fake_clock import FakeClock
from support.sendlog_helpers import bring, enlist, opened, person, working
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import Answer, ClerkScript, Truncate, Users, refusal
from support.servers.script import Drop, Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from campaign.config.definition import Definition
    from campaign.model import Delivery, WaitlistRow

_FILE = """
name = "trial"
[recipients]
clerk = "waitlist"
{more}
[email]
from = "Acme <hello@acme.example>"
subject = "You're in"
html = "email.html"
[link]
url = "https://acme.example/welcome"
expires_in = "48h"
[retry]
attempts = 3
first_delay = "10ms"
"""


def definition_in(folder: Path, more: str = "") -> Definition:
    (folder / "email.html").write_text('<a href="{{ link }}">in</a>', encoding="utf-8")
    (folder / "campaign.toml").write_text(_FILE.format(more=more), encoding="utf-8")
    return load_definition(folder / "campaign.toml")


@dataclass
class Listed:
    """A waitlist with some entries, each pending unless `statuses` says otherwise."""

    folder: Path
    number: int
    faults: tuple[Fault, ...] = ()
    statuses: dict[str, str] = field(default_factory=dict)
    addresses: dict[int, str] = field(default_factory=dict)

    def server(self) -> ClerkServer:
        """Return a Clerk with the waitlist."""
        people = self.folder / "people.csv"
        rows = [
            (f"wle_{number:05}", self.addresses.get(number, f"u{number}@example.com")) for number in range(self.number)
        ]
        with people.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("user_id", "email"), *rows])
        users = Users(csv=str(people), waitlist=True, statuses=self.statuses)
        return ClerkServer(ClerkScript(users=users, faults=self.faults))


def read(server: ClerkServer, folder: Path, more: str = "") -> Definition | CampaignError:
    """Read the waitlist as a run does; return the campaign, or the error."""
    definition, clock = definition_in(folder, more), FakeClock()
    services = Services(folder / "send-log.db", _NO_SERVER, server.url, "sk_test_1", ())
    with opened(services.log, clock=clock) as log:
        try:
            return asyncio.run(read_waitlist(definition, services, log, RateLimiter((), clock)))
        except CampaignError as error:
            return error


_NO_SERVER = SmtpServer("mail.example", 465, tls=True, starttls=False)


def ids(found: Definition | CampaignError) -> list[str]:
    """Return the ids of the entries that were written down."""
    assert not isinstance(found, CampaignError), found
    with found.recipients.file.open(encoding="utf-8", newline="") as file:
        return [row["waitlist_id"] for row in csv.DictReader(file)]
