"""Build a user in the form of Clerk's Backend API, with all fields that Clerk's own client requires: `user_json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.servers.clerk_script import UserDirectory

_NOTHING = [
    "external_id",
    "primary_phone_number_id",
    "primary_web3_wallet_id",
    "username",
    "first_name",
    "last_name",
    "mfa_enabled_at",
    "mfa_disabled_at",
    "last_sign_in_at",
    "lockout_expires_in_seconds",
    "verification_attempts_remaining",
    "last_active_at",
    "legal_accepted_at",
]
_FALSE = [
    "has_image",
    "password_enabled",
    "two_factor_enabled",
    "totp_enabled",
    "backup_code_enabled",
    "create_organization_enabled",
]
_LISTS = [
    "phone_numbers",
    "web3_wallets",
    "passkeys",
    "external_accounts",
    "saml_accounts",
    "enterprise_accounts",
]
_BORN = 1_700_000_000_000


def user_json(users: UserDirectory, user_id: str) -> dict[str, Any]:
    """Return the JSON object of an existing user."""
    addresses: list[dict[str, Any]] = [
        {
            "object": "email_address",
            "id": f"idn_{number}_{user_id}",
            "email_address": address,
            "reserved": False,
            "verification": users.verification(user_id, address),
            "linked_to": [],
            "created_at": _BORN,
            "updated_at": _BORN,
        }
        for number, address in enumerate(users.addresses(user_id))
    ]
    return {
        **dict.fromkeys(_NOTHING),
        **dict.fromkeys(_FALSE, False),
        **{name: [] for name in _LISTS},
        "id": user_id,
        "object": "user",
        "primary_email_address_id": addresses[0]["id"],
        "email_addresses": addresses,
        "public_metadata": {},
        "banned": users.banned(user_id),
        "locked": users.locked(user_id),
        "delete_self_enabled": True,
        "created_at": _BORN,
        "updated_at": _BORN,
        **users.seen.get(user_id, {}),
    }
