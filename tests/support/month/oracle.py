"""Work out who must be mailed at each run of the cart campaign, without any code of the program: `Oracle`.

The rules, as the campaign file of the test states them: `first` is due an hour after the cart was left, `second` 23
hours after `first` was sent; nothing later than three days after the cart was left; from 9 to 20 o'clock of the
recipient's zone, Monday to Saturday; nothing to who has bought, and no `second` to who was at the site after `first`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from support.month.carts import DAY, HOUR, exported

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from support.month.carts import Cart

STEPS = ("first", "second")
_SUNDAY = 6


@dataclass
class Tick:
    """One run, at an instant (seconds since the epoch)."""

    at: float
    #: The mail server, Clerk or the shop's endpoint does not work.
    is_outage: bool = False
    #: The run was killed.
    is_killed: bool = False
    #: The mails that arrived, as (key, step), each with the instant of its arrival.
    arrived: dict[tuple[str, str], float] = field(default_factory=dict)
    #: After a kill: the mails that an operator took for sent, since nobody knows.
    taken_as_sent: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class _Story:
    """What happened to one cart so far."""

    sent_at: dict[str, float] = field(default_factory=dict)
    #: Why nothing more is sent; empty while something may be.
    end: str = ""


class Oracle:
    """Follows every cart from run to run; `violations` are the sentences about what was wrong."""

    def __init__(self, carts: Sequence[Cart]) -> None:
        self._carts = carts
        self._stories = {cart.key: _Story() for cart in carts}
        #: The carts whose link no longer worked when it was clicked: a run that ended before its mail had revoked it.
        self.dead_links: set[str] = set()
        self.violations: list[str] = []
        self.mailed = 0

    def follow(self, tick: Tick) -> None:
        """Compare what arrived in one run with what had to."""
        expected = {
            (cart.key, step): cart for cart in exported(self._carts, tick.at) if (step := self._step_due(cart, tick.at))
        }
        for mail, at in tick.arrived.items():
            if mail not in expected:
                self._complain(tick, mail, f"was mailed, and must not be ({self._stories[mail[0]].end or 'not due'})")
            elif not is_open(at, expected[mail].zone):
                self._complain(tick, mail, "was mailed at night or on a Sunday")
            self.mailed += 1
        for mail in expected.keys() - tick.arrived.keys() - tick.taken_as_sent:
            if not tick.is_outage and not tick.is_killed:
                self._complain(tick, mail, "was not mailed")
        for (key, step), at in {**dict.fromkeys(tick.taken_as_sent, tick.at), **tick.arrived}.items():
            self._stories[key].sent_at[step] = at

    def reasons(self, states: Mapping[tuple[str, str], tuple[str, str]], last: float) -> None:
        """Compare the log's last word on each (key, step), a state and a reason, with what happened."""
        for cart in self._carts:
            story = self._stories[cart.key]
            for step in STEPS:
                state, reason = states.get((cart.key, step), ("", ""))
                where = f"{cart.key} {step}"
                if step in story.sent_at and state != "sent":
                    self.violations.append(f"{where}: was sent, and the log says {state!r} ({reason})")
                elif step not in story.sent_at and state == "sent":
                    self.violations.append(f"{where}: was not sent, and the log says so")
                elif state == "skipped" and reason not in self._true_reasons(cart, story, last):
                    self.violations.append(f"{where}: skipped for {reason!r}, which is not true")
                elif state not in {"sent", "skipped", "queued", ""}:
                    self.violations.append(f"{where}: {state} ({reason})")

    def _step_due(self, cart: Cart, now: float) -> str:
        """Return the step that must be mailed at an instant, or an empty string; note why the sequence ends."""
        story = self._stories[cart.key]
        if story.end or "second" in story.sent_at:
            return ""
        first = story.sent_at.get("first")
        due = cart.abandoned_at + HOUR if first is None else first + 23 * HOUR
        if now < due:
            return ""
        if now > cart.abandoned_at + 3 * DAY:
            story.end = "too late"
        elif is_open(now, cart.zone):
            if self._has_clicked(cart, first, now):
                story.end = "link used"
            elif first is not None and cart.active_at is not None and first < cart.active_at <= now:
                story.end = "active since step first"
            elif cart.bought_at is not None and cart.bought_at <= now:
                story.end = "no longer wanted"
            else:
                return "second" if first is not None else "first"
        return ""

    def _has_clicked(self, cart: Cart, first: float | None, now: float) -> bool:
        if first is None or cart.clicks_after is None or cart.key in self.dead_links:
            return False
        return first + cart.clicks_after <= now

    def _true_reasons(self, cart: Cart, story: _Story, last: float) -> Iterable[str]:
        first = story.sent_at.get("first")
        if last > cart.abandoned_at + 3 * DAY:
            yield "too late"
        if self._has_clicked(cart, first, last):
            yield "link used"
        # a click is an activity, too
        is_active = first is not None and cart.active_at is not None and first < cart.active_at <= last
        if is_active or self._has_clicked(cart, first, last):
            yield "active since step first"
        if cart.bought_at is not None and cart.bought_at <= last:
            yield "no longer wanted"

    def _complain(self, tick: Tick, mail: tuple[str, str], what: str) -> None:
        cart = next(cart for cart in self._carts if cart.key == mail[0])
        local = datetime.fromtimestamp(tick.at, ZoneInfo(cart.zone))
        self.violations.append(f"{' '.join(mail)} {what}, in the run at {local:%a %Y-%m-%d %H:%M %Z}")


def is_open(at: float, zone: str) -> bool:
    """Return whether it is from 9 to 20 o'clock there, and not a Sunday."""
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    return 9 <= local.hour < 20 and local.weekday() != _SUNDAY
