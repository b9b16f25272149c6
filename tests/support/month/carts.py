"""Make up a month of abandoned carts, and what their owners do: `made_up_carts`, `write_csv`."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

HOUR = 3600.0
DAY = 24 * HOUR
#: The shop exports the carts of the last days.
EXPORTED_DAYS = 4
_ZONES = ("Europe/Berlin", "America/New_York")


@dataclass(frozen=True)
class Cart:
    """One abandoned cart; all instants are seconds since the epoch, None is never."""

    key: str
    user_id: str
    email: str
    zone: str
    abandoned_at: float
    #: When its owner buys after all, without a mail's help.
    bought_at: float | None
    #: When its owner is at the site again, without a mail's help.
    active_at: float | None
    #: How long after the first mail its owner clicks the link, in seconds.
    clicks_after: float | None


def made_up_carts(number: int, *, seed: int, begin: float, days: float) -> list[Cart]:
    """Return carts that are left at all hours from `begin` on, one for each user, in the order of time."""
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    carts = []
    for each, left_at in enumerate(sorted(dice.uniform(begin, begin + days * DAY) for _ in range(number))):

        def sometime(share: float, most: float, after: float = left_at) -> float | None:
            return after + dice.uniform(0.1 * HOUR, most) if dice.random() < share else None

        carts.append(
            Cart(
                key=f"C-{each}",
                user_id=f"user_{each}",
                email=f"u{each}@d{each % 9}.example",
                zone=dice.choice(_ZONES),
                abandoned_at=left_at // 60 * 60,
                bought_at=sometime(0.15, 3 * DAY),
                active_at=sometime(0.15, 3 * DAY),
                clicks_after=sometime(0.2, 1.5 * DAY, 0.0),
            )
        )
    return carts


def exported(carts: Iterable[Cart], now: float) -> list[Cart]:
    """Return the carts that the shop exports at an instant."""
    return [cart for cart in carts if now - EXPORTED_DAYS * DAY <= cart.abandoned_at <= now]


def write_csv(path: Path, carts: Sequence[Cart]) -> None:
    """Write the shop's export: a new file, renamed into place."""
    new = path.with_suffix(".new")
    with new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["cart_id", "user_id", "email", "abandoned_at", "time_zone"])
        for cart in carts:
            left_at = datetime.fromtimestamp(cart.abandoned_at, UTC).isoformat()
            writer.writerow([cart.key, cart.user_id, cart.email, left_at, cart.zone])
    new.replace(path)
