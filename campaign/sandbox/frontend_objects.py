"""Build the Frontend API's objects for clerk-js: client, session, session JWT and sign-in, `Shown`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from campaign.sandbox.backend_users import user_object
from campaign.sandbox.fates import fate_of
from campaign.sandbox.identifiers import id_from, new_id
from campaign.sandbox.organizations import membership_object, organization_claim

if TYPE_CHECKING:
    from campaign.sandbox.sessions import Session
    from campaign.sandbox.state import State

#: Lifetime of a session JWT in seconds, as at Clerk.
_JWT_LIFETIME_S = 60


class Shown:
    """The API objects for one page.

    Attributes:
        origin: of the page that sends the request; it becomes the JWT's `azp` claim (authorized party).
    """

    def __init__(self, state: State, *, origin: str) -> None:
        self._state = state
        self.origin = origin

    def client(self, browser_id: str) -> dict[str, Any] | None:
        """Return the browser's client, or None if the browser never had a session."""
        had = self._state.sessions.of_browser(browser_id)
        if not had:
            return None
        active = self._state.sessions.active(browser_id)
        return {
            "object": "client",
            "id": id_from("client", browser_id),
            "sessions": [] if active is None else [self.session(active)],
            "sign_in": None,
            "sign_up": None,
            "last_active_session_id": None if active is None else active.id,
            "cookie_expires_at": None,
            "captcha_bypass": False,
            "last_authentication_strategy": "ticket",
            "created_at": had[-1].created_at,
            "updated_at": had[0].updated_at,
        }

    def session(self, session: Session) -> dict[str, Any]:
        """Return a session with its user and a fresh JWT; one with a task left is pending."""
        user = self._user(session.user_id)
        task = self._task(session)
        if session.org_id:
            user["organization_memberships"] = [membership_object(session.org_id, session.user_id, session.created_at)]
        return {
            "object": "session",
            "id": session.id,
            "status": "pending" if task else session.status,
            "expire_at": session.expires_at,
            "abandon_at": session.expires_at,
            "last_active_at": session.last_active_at,
            "last_active_organization_id": session.org_id,
            "actor": None,
            "tasks": [{"key": task}] if task else None,
            "factor_verification_age": [0, -1],
            "user": user,
            "public_user_data": {
                "user_id": session.user_id,
                "first_name": user.get("first_name"),
                "last_name": user.get("last_name"),
                "image_url": "",
                "has_image": False,
                "identifier": _identifier(user),
            },
            "last_active_token": self.token(session),
            "created_at": session.created_at,
            "updated_at": session.updated_at,
        }

    def token(self, session: Session) -> dict[str, Any]:
        """Return a new session JWT that Clerk's own verifiers accept."""
        moment = int(time.time())
        claims = {
            "azp": self.origin,
            "exp": moment + _JWT_LIFETIME_S,
            "fva": [0, -1],
            "iat": moment,
            "iss": f"https://{self._state.keys.host}",
            "jti": new_id("jti").removeprefix("jti_"),
            # Clerk's own allowance for clocks that are behind.
            "nbf": moment - 10,
            "sid": session.id,
            "sts": "pending" if self._task(session) else "active",
            "sub": session.user_id,
            "v": 2,
        } | (organization_claim(session.org_id) if session.org_id else {})
        return {"object": "token", "jwt": self._state.keys.sign(claims, cat="cl_B7d4PD111AAA")}

    def sign_in(self, session: Session) -> dict[str, Any]:
        """Return the sign-in that created a session."""
        return {
            "object": "sign_in_attempt",
            "id": new_id("sia"),
            "status": "complete",
            "supported_identifiers": ["email_address"],
            "supported_first_factors": None,
            "supported_second_factors": None,
            "first_factor_verification": {
                "object": "verification_ticket",
                "status": "verified",
                "strategy": "ticket",
                "attempts": None,
                "expire_at": None,
            },
            "second_factor_verification": None,
            "identifier": _identifier(self._user(session.user_id)),
            "user_data": None,
            "created_session_id": session.id,
            "abandon_at": session.created_at + 86_400_000,
        }

    def _task(self, session: Session) -> str:
        """Return the key of the task that the fate of the user's address leaves to an active session; else empty."""
        user = self._state.users.get(session.user_id) if session.status == "active" else None
        tasks = [task for address in user.addresses if (task := fate_of(address.address).task)] if user else []
        # a token with an organization has chosen it
        return next((task for task in tasks if not (session.org_id and task == "choose-organization")), "")

    def _user(self, user_id: str) -> dict[str, Any]:
        user = self._state.users.get(user_id)
        if user is None:
            return {"object": "user", "id": user_id}
        shown = user_object(user)
        # Fields that only the Backend API shows.
        for name in ("private_metadata", "banned", "locked", "lockout_expires_in_seconds"):
            del shown[name]
        return shown


def _identifier(user: dict[str, Any]) -> str:
    addresses = user.get("email_addresses", [])
    return str(addresses[0]["email_address"]) if addresses else ""
