"""Serve sign-in tokens in the Backend API: create and revoke, `token_routes`. Clerk cannot get or list tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from campaign.sandbox.answers import ApiError, answer, invalid, malformed, missing, not_found
from campaign.sandbox.backend import body_of
from campaign.sandbox.organizations import is_member, is_organization

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from campaign.sandbox.backend import Backend
    from campaign.sandbox.tokens import StoredToken

#: Clerk's default, 30 days.
_DEFAULT_EXPIRY_S = 2_592_000

#: A hundred years. Clerk documents no maximum, but a date has one.
_MAX_EXPIRY_S = 3_155_760_000

_PARAMETERS = frozenset({"user_id", "expires_in_seconds", "org_id"})


def token_routes(backend: Backend) -> list[Route]:
    """Return the routes of `/v1/sign_in_tokens`."""
    tokens = backend.state.tokens

    async def create(request: Request) -> Response:
        body = await body_of(request, known=_PARAMETERS)
        user_id, seconds = _asked(body)
        org_id = _organization_in(body)
        if org_id and (user := backend.state.users.get(user_id)) and not is_member(user):
            raise ApiError(
                403,
                "not_a_member_in_organization",
                "not a member",
                long_message=f"The user {user_id} is not a member of the organization {org_id}.",
            )
        created = tokens.create(user_id, seconds=seconds, org_id=org_id)
        if created is None:
            raise not_found(f"No user was found with id {user_id}.")
        token, jwt = created
        url = f"{request.url.scheme}://{request.url.netloc}/__clerk/v1/tickets/accept?ticket={jwt}"
        return answer(token_object(token) | {"token": jwt, "url": url})

    async def revoke(request: Request) -> Response:
        token_id = request.path_params["token_id"]
        if tokens.get(token_id) is None:
            raise not_found(f"No sign in token was found with id {token_id}.")
        revoked = tokens.revoke(token_id)
        token = tokens.get(token_id)
        if not revoked or token is None:
            raise ApiError(
                400,
                "sign_in_token_cannot_be_revoked_code",
                "Sign in token cannot be revoked",
                long_message="Only a pending sign in token can be revoked; this one is used or revoked.",
            )
        return answer(token_object(token))

    return [
        backend.route("POST", "/v1/sign_in_tokens", create),
        backend.route("POST", "/v1/sign_in_tokens/{token_id}/revoke", revoke),
    ]


def _asked(body: dict[str, Any]) -> tuple[str, int]:
    user_id, seconds = body.get("user_id"), body.get("expires_in_seconds")
    if user_id is None or user_id == "":
        raise missing("user_id")
    if not isinstance(user_id, str):
        raise malformed("user_id", "must be a string")
    if seconds is None:
        seconds = _DEFAULT_EXPIRY_S
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise malformed("expires_in_seconds", "must be a whole number")
    if not 1 <= seconds <= _MAX_EXPIRY_S:
        raise invalid("expires_in_seconds", "must be greater than or equal to 1")
    return user_id, seconds


def _organization_in(body: dict[str, Any]) -> str | None:
    org_id = body.get("org_id")
    if org_id is None:
        return None
    if not isinstance(org_id, str):
        raise malformed("org_id", "must be a string")
    if not is_organization(org_id):
        raise not_found(f"No organization was found with id {org_id[:100]}.")
    return org_id


def token_object(token: StoredToken) -> dict[str, Any]:
    """Return a token as Clerk's API shows it after creation: without the JWT."""
    return {
        "object": "sign_in_token",
        "id": token.id,
        "user_id": token.user_id,
        "status": token.status.value,
        "created_at": token.created_at,
        "updated_at": token.updated_at,
    }
