"""Serve users in the Backend API: list, count, get and create, `user_routes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from campaign.sandbox.answers import ApiError, answer, invalid, malformed, not_found
from campaign.sandbox.backend import body_of, page_of
from campaign.sandbox.fates import fate_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from campaign.sandbox.backend import Backend
    from campaign.sandbox.users import EmailAddress, User

#: At most this many ids or addresses per call.
_MAX_NAMED = 100

#: The fields of a new user that are stored and shown.
_PROFILE = frozenset(
    {
        "external_id",
        "first_name",
        "last_name",
        "username",
        "locale",
        "public_metadata",
        "private_metadata",
        "unsafe_metadata",
    }
)

#: The fields of a new user that Clerk accepts and the sandbox ignores.
_IGNORED = frozenset(
    {
        "phone_number",
        "web3_wallet",
        "password",
        "password_hasher",
        "password_digest",
        "skip_password_checks",
        "skip_password_requirement",
        "skip_legal_checks",
        "totp_secret",
        "backup_codes",
        "delete_self_enabled",
        "create_organization_enabled",
        "create_organizations_limit",
        "legal_accepted_at",
        "created_at",
        "bypass_client_trust",
    }
)

_PARAMETERS = _PROFILE | _IGNORED | {"email_address"}


def user_routes(backend: Backend) -> list[Route]:
    """Return the routes of `/v1/users`."""
    users = backend.state.users

    async def find(request: Request) -> Response:
        limit, offset = page_of(request)
        found = users.find(**_named(request), limit=limit, offset=offset)
        return answer([user_object(user) for user in found])

    async def count(request: Request) -> Response:
        return answer({"object": "total_count", "total_count": users.count(**_named(request))})

    async def get(request: Request) -> Response:
        user_id = request.path_params["user_id"]
        user = users.get(user_id)
        if user is None:
            raise not_found(f"No user was found with id {user_id}.")
        return answer(user_object(user))

    async def create(request: Request) -> Response:
        body = await body_of(request, known=_PARAMETERS)
        addresses = _addresses(body)
        if any(fate_of(address).nouser for address in addresses):
            raise ApiError(
                403,
                "not_allowed_access",
                "Access not allowed.",
                long_message="This address is not allowed to access this application.",
                param="email_address",
            )
        user = users.create(addresses, {name: body[name] for name in _PROFILE & body.keys() if body[name] is not None})
        if user is None:
            raise ApiError(
                422,
                "form_identifier_exists",
                "That email address is taken. Please try another.",
                param="email_address",
            )
        return answer(user_object(user))

    return [
        backend.route("GET", "/v1/users", find),
        backend.route("POST", "/v1/users", create),
        backend.route("GET", "/v1/users/count", count),
        backend.route("GET", "/v1/users/{user_id}", get),
    ]


def _named(request: Request) -> dict[str, list[str]]:
    """Return the ids and addresses in the query, as keyword arguments for `Users.find`."""
    named = {}
    for param, name in (("user_id", "ids"), ("email_address", "addresses")):
        named[name] = [value for value in request.query_params.getlist(param) if value]
        if len(named[name]) > _MAX_NAMED:
            raise invalid(param, f"must be given at most {_MAX_NAMED} times")
    return named


def _addresses(body: dict[str, Any]) -> list[str]:
    addresses = body.get("email_address")
    if not addresses:
        raise ApiError(
            422,
            "form_data_missing",
            "missing data",
            long_message="data doesn't match user requirements of this instance: email_address is missing.",
            param="email_address",
        )
    if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
        raise malformed("email_address", "must be an array of addresses")
    for address in addresses:
        local, _, domain = address.rpartition("@")
        if not local or not domain or any(character.isspace() for character in address):
            raise malformed("email_address", "must be a valid email address")
    return list(dict.fromkeys(addresses))


def user_object(user: User) -> dict[str, Any]:
    """Return a user with all fields that Clerk's own clients require."""
    profile = user.profile
    return {
        "id": user.id,
        "object": "user",
        "external_id": profile.get("external_id"),
        "primary_email_address_id": user.addresses[0].id if user.addresses else None,
        "primary_phone_number_id": None,
        "primary_web3_wallet_id": None,
        "username": profile.get("username"),
        "first_name": profile.get("first_name"),
        "last_name": profile.get("last_name"),
        "locale": profile.get("locale"),
        "image_url": "",
        "has_image": False,
        "public_metadata": profile.get("public_metadata", {}),
        "private_metadata": profile.get("private_metadata", {}),
        "unsafe_metadata": profile.get("unsafe_metadata", {}),
        "email_addresses": [_email_address(address) for address in user.addresses],
        "phone_numbers": [],
        "web3_wallets": [],
        "passkeys": [],
        "password_enabled": False,
        "two_factor_enabled": False,
        "totp_enabled": False,
        "backup_code_enabled": False,
        "mfa_enabled_at": None,
        "mfa_disabled_at": None,
        "external_accounts": [],
        "saml_accounts": [],
        "enterprise_accounts": [],
        "last_sign_in_at": user.last_sign_in_at,
        "banned": user.banned,
        "locked": user.locked,
        "lockout_expires_in_seconds": 3600 if user.locked else None,
        "verification_attempts_remaining": 0 if user.locked else 100,
        "updated_at": user.updated_at,
        "created_at": user.created_at,
        "delete_self_enabled": True,
        "create_organization_enabled": True,
        "last_active_at": user.last_sign_in_at,
        "legal_accepted_at": None,
    }


def _email_address(address: EmailAddress) -> dict[str, Any]:
    unverified = fate_of(address.address).unverified
    return {
        "id": address.id,
        "object": "email_address",
        "email_address": address.address,
        "reserved": False,
        "verification": {
            "object": "verification_admin",
            "status": "unverified" if unverified else "verified",
            "strategy": "admin",
            "attempts": None,
            "expire_at": None,
        },
        "linked_to": [],
        "matches_sso_connection": False,
        "created_at": address.created_at,
        "updated_at": address.created_at,
    }
