"""Serve sign-in with a ticket, and sessions, in the Frontend API: `session_routes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.sandbox.answers import ApiError, answer, invalid, missing, not_found
from campaign.sandbox.frontend import form_of
from campaign.sandbox.limits import ClerkLimit
from campaign.sandbox.tokens import TokenStatus

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from campaign.sandbox.frontend import Frontend
    from campaign.sandbox.sessions import Session
    from campaign.sandbox.state import State
    from campaign.sandbox.tokens import StoredToken

#: Clerk's documented limit on sign-ins per IP address: number, and seconds. All requests come from this machine.
_CLERKS_LIMIT = (5, 10)


def session_routes(frontend: Frontend, *, limited: bool) -> list[Route]:
    """Return the routes of `/v1/client`."""
    state = frontend.state
    limit = ClerkLimit(*_CLERKS_LIMIT) if limited else None

    async def client(request: Request) -> Response:
        shown = frontend.shown_to(request)
        return answer({"response": shown.client(frontend.browser_of(request)), "client": None})

    async def sign_in(request: Request) -> Response:
        if limit is not None:
            limit.spend()
        browser_id = frontend.browser_of(request)
        if state.sessions.active(browser_id) is not None:
            # Refuse before redeeming, so that the ticket stays unused.
            raise ApiError(
                400,
                "session_exists",
                "Session already exists",
                long_message="You're already signed in.",
            )
        token = redeem(state, _ticket_of(await form_of(request)))
        session = state.sessions.begin(browser_id, token.user_id, token.org_id)
        shown = frontend.shown_to(request)
        return answer({"response": shown.sign_in(session), "client": shown.client(browser_id)})

    async def touch(request: Request) -> Response:
        session = _session_of(frontend, request)
        state.sessions.touch(session)
        shown = frontend.shown_to(request)
        return answer({"response": shown.session(session), "client": shown.client(session.browser_id)})

    async def tokens(request: Request) -> Response:
        return answer(frontend.shown_to(request).token(_session_of(frontend, request)))

    async def finish(request: Request) -> Response:
        session = _session_of(frontend, request)
        status = "ended" if request.url.path.endswith("/end") else "removed"
        state.sessions.finish(session.browser_id, status=status, session_id=session.id)
        shown = frontend.shown_to(request)
        ended = shown.session(session) | {"status": status, "last_active_token": None}
        return answer({"response": ended, "client": shown.client(session.browser_id)})

    async def sign_out(request: Request) -> Response:
        browser_id = frontend.browser_of(request)
        state.sessions.finish(browser_id, status="removed")
        shown = frontend.shown_to(request).client(browser_id)
        return answer({"response": shown, "client": shown})

    return [
        frontend.route("GET", "/v1/client", client),
        frontend.route("PUT", "/v1/client", client),
        frontend.route("DELETE", "/v1/client", sign_out),
        frontend.route("DELETE", "/v1/client/sessions", sign_out),
        frontend.route("POST", "/v1/client/sign_ins", sign_in),
        frontend.route("POST", "/v1/client/sessions/{session_id}/touch", touch),
        frontend.route("POST", "/v1/client/sessions/{session_id}/tokens", tokens),
        frontend.route("POST", "/v1/client/sessions/{session_id}/end", finish),
        frontend.route("POST", "/v1/client/sessions/{session_id}/remove", finish),
    ]


def redeem(state: State, ticket: str) -> StoredToken:
    """Redeem the ticket and return its token, which names the user whom it signs in.

    Raises:
        Refusal: the ticket is not valid, or the user is banned or locked; the code says which.
    """
    token_id = state.tokens.id_in(ticket)
    token = None if token_id is None else state.tokens.get(token_id)
    if token is None:
        raise _refused("ticket_invalid_code", "This ticket is invalid.")
    _check(token)
    user = state.users.get(token.user_id)
    if user is not None and user.banned:
        raise ApiError(403, "user_banned", "User is banned", long_message="This user is banned.")
    if user is not None and user.locked:
        raise ApiError(
            403,
            "user_locked",
            "Account locked",
            long_message="Your account is locked. You will be able to try again in 1 hour.",
        )
    if not state.tokens.redeem(token.id):
        # Another browser redeemed the token first, or the sandbox's inbox has just revoked it.
        _check(state.tokens.get(token.id) or token)
        raise _refused("ticket_invalid_code", "This ticket is invalid.")
    return token


def _check(token: StoredToken) -> None:
    if token.status is TokenStatus.ACCEPTED:
        raise _refused(
            "sign_in_token_already_used_code",
            "This sign in token has already been used. Each token can only be used once.",
        )
    if token.status is TokenStatus.REVOKED:
        raise _refused("sign_in_token_revoked_code", "This sign in token has been revoked and cannot be used anymore.")
    if token.expired:
        raise _refused("ticket_expired_code", "This ticket has expired.")


def _refused(code: str, message: str) -> ApiError:
    return ApiError(400, code, message)


def _ticket_of(form: dict[str, str]) -> str:
    if not form.get("strategy"):
        raise missing("strategy")
    if form["strategy"] != "ticket":
        raise invalid("strategy", "must be ticket: there is no other way to sign in to the sandbox")
    if not form.get("ticket"):
        raise missing("ticket")
    return form["ticket"]


def _session_of(frontend: Frontend, request: Request) -> Session:
    """Return the session in the path, if it is active and belongs to the browser that sends the request."""
    active = frontend.state.sessions.active(frontend.browser_of(request))
    session_id = request.path_params["session_id"]
    if active is None or active.id != session_id:
        raise not_found(f"No session was found with id {session_id}.")
    return active
