"""What a watch says: each fault once, when it is over, and no address."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from campaign.errors import DefinitionError, RecipientsError, ServiceRefusesError
from campaign.model import Status
from campaign.watching.events import About, CampaignEvents
from campaign.watching.health import Health
from campaign.watching.metrics import Metrics
from support.fake_clock import FakeClock


@pytest.fixture
def health() -> Health:
    """The health of a watch."""
    return Health(FakeClock().now)


@pytest.fixture
def events(health: Health, caplog: pytest.LogCaptureFixture) -> CampaignEvents:
    """The events of one campaign."""
    caplog.set_level(logging.DEBUG, "campaign")
    return CampaignEvents("cart", Metrics(), health)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the log, and forget them."""
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def test_a_fault_is_said_once_and_so_is_its_end(
    events: CampaignEvents, health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    """The same fault is not said again, another one is, and the campaign fails until all of them are over."""
    for _ in range(3):
        events.failed(RecipientsError("carts.csv: no such file."), about=About.RECIPIENTS, then="it waits")
    assert said(caplog) == ["cart: carts.csv: no such file; it waits"]
    events.failed(ServiceRefusesError("the login was refused"), about=About.SENDING, then="later")
    events.works(About.RECIPIENTS)
    assert said(caplog)[1:] == ["cart: the reading of the recipients works again"]
    assert health.report().campaigns == {"cart": "the login was refused"}
    events.works(About.SENDING)
    events.works(About.SENDING)
    assert health.report().is_ok
    assert said(caplog) == ["cart: the sending works again"]
    events.failed(RecipientsError("carts.csv: no such file."), about=About.RECIPIENTS, then="it waits")
    assert said(caplog) == ["cart: carts.csv: no such file; it waits"]


def test_a_refused_change_leaves_the_campaign_well(
    events: CampaignEvents, health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was broken by hand is said once for each fault, and is no reason to start the watch again."""
    events.refused(DefinitionError("campaign.toml:3: a\nb"))
    events.refused(DefinitionError("campaign.toml:3: a\nb"))
    assert said(caplog) == ["cart: campaign.toml:3: a b; the campaign goes on as it was before this change"]
    assert health.report().is_ok


def test_no_address_is_logged(events: CampaignEvents, caplog: pytest.LogCaptureFixture) -> None:
    """A server's words with an address, or a token's length, lose them."""
    events.failed(
        ServiceRefusesError(f"<ada@example.com> was refused {'k' * 40}"), about=About.SENDING, then="as ada@example.com"
    )
    (line,) = said(caplog)
    assert "@" not in line
    assert "kkk" not in line


def test_a_cycle_says_what_was_sent_and_what_comes(events: CampaignEvents, caplog: pytest.LogCaptureFixture) -> None:
    """A cycle in which nothing happened is no news."""
    events.cycle_ended(Counter(), at=1.0, next_at=None)
    assert said(caplog) == []
    events.cycle_ended(Counter({Status.SENT: 2}), at=1.0, next_at=1_750_000_000.0)
    events.cycle_ended(Counter({Status.FAILED: 1}), at=1.0, next_at=None)
    assert said(caplog) == [
        "cart: 2 sent; it goes on at 2025-06-15 15:06:40 UTC",
        "cart: 1 failed; nothing more is due",
    ]
