"""What a watch says of itself, and when its silence says it."""

from __future__ import annotations

from campaign.watching.health import STALLED_AFTER_S, Health
from support.fake_clock import FakeClock


def test_a_watch_is_well_from_its_first_moment() -> None:
    """A watch that just began is ok, so that a supervisor does not end it before its first cycle."""
    assert Health(FakeClock().now).report().is_ok


def test_a_campaign_that_cannot_go_on_is_named_with_the_reason() -> None:
    """One campaign that fails makes the watch fail, and the report names it and no other."""
    health = Health(FakeClock().now)
    health.works("news")
    health.failing("carts", "Clerk refuses the secret key.")
    report = health.report()
    assert (report.status, report.campaigns) == ("failing", {"carts": "Clerk refuses the secret key."})
    assert not report.is_ok


def test_a_campaign_that_works_again_is_forgotten() -> None:
    """The watch is ok again when its last failing campaign works."""
    health = Health(FakeClock().now)
    health.failing("carts", "Clerk refuses the secret key.")
    health.failing("carts", "The disk is full.")
    health.works("carts")
    health.works("carts")
    assert health.report() == ("ok", {})


def test_a_watch_that_is_silent_is_stalled() -> None:
    """Without a word for longer than the limit the watch is stalled, and a word makes it ok."""
    clock = FakeClock()
    health = Health(clock.now)
    at = clock.now()
    assert Health(lambda: at + STALLED_AFTER_S).report().is_ok
    later = [at]
    health = Health(lambda: later[0])
    later[0] = at + STALLED_AFTER_S
    assert health.report().is_ok
    later[0] += 0.1
    assert health.report().status == "stalled"
    health.alive(later[0])
    assert health.report().is_ok


def test_a_watch_that_drains_says_so() -> None:
    """While it drains a watch is not ok, whatever else holds: nothing new is taken up."""
    health = Health(FakeClock().now)
    health.draining()
    assert health.report().status == "draining"
    health.works("carts")
    assert not health.report().is_ok


def test_a_reason_holds_no_address_and_no_token() -> None:
    """Addresses, the queries of URLs and long tokens do not reach monitoring, and the reason is short."""
    health = Health(FakeClock().now)
    token = "eyJ" + "a" * 60
    health.failing("carts", f"550 <ada@example.com> https://acme.example/in?token=s3cr3t {token}\n" + "x " * 400)
    why = health.report().campaigns["carts"]
    assert "ada" not in why
    assert "s3cr3t" not in why
    assert token not in why
    assert len(why) <= 200
    assert "\n" not in why
