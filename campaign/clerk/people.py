"""Read users and waitlist entries from Clerk's JSON: `user_of`, `row_of`."""

from __future__ import annotations

from typing import Any

from campaign.model import ClerkUser, WaitlistRow


def user_of(data: Any) -> ClerkUser:  # noqa: ANN401 - any JSON
    """Return a user.

    Raises:
        KeyError, TypeError, AttributeError: the value is no user.
    """
    addresses = {str(each["email_address"]).lower(): _is_verified(each) for each in data["email_addresses"]}
    return ClerkUser(
        str(data["id"]),
        frozenset(addresses),
        frozenset(address for address, verified in addresses.items() if verified),
        banned=bool(data.get("banned")),
        locked=bool(data.get("locked")),
        last_sign_in_at=_seconds(data.get("last_sign_in_at")),
        last_active_at=_seconds(data.get("last_active_at")),
    )


def row_of(data: Any) -> WaitlistRow:  # noqa: ANN401 - any JSON
    """Return a waitlist entry; what it does not have is empty."""
    known = data if isinstance(data, dict) else {}
    return WaitlistRow(
        str(known.get("id") or ""),
        str(known.get("email_address") or ""),
        str(known.get("status") or ""),
        _seconds(known.get("created_at")),
    )


def _seconds(milliseconds: object) -> float | None:
    """Return one of Clerk's instants in seconds since the epoch; None if there is none."""
    is_number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
    return milliseconds / 1000 if is_number else None  # type: ignore[operator]


def _is_verified(address: dict[str, Any]) -> bool:
    """Return whether Clerk has verified an address; before that, `verification` is null or has another status."""
    verification = address.get("verification")
    return isinstance(verification, dict) and verification.get("status") == "verified"
