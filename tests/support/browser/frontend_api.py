"""Imitate Clerk's Frontend API, with tickets that fail on request, and serve the landing page: `FrontendApi`.

It has no keys, because clerk-js does not verify its session JWTs. It imports nothing from the program.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

#: Names the host of a development instance, where `__clerk_db_jwt` identifies the browser.
PUBLISHABLE_KEY = "pk_test_" + base64.b64encode(b"landing-test.clerk.accounts.dev$").decode()


@dataclass
class Ticket:
    """A sign-in token on the server."""

    user: str
    #: The user's address; empty for a user without one.
    email: str = ""
    #: The key of a task that is left after signing in (Clerk's session tasks); empty for none.
    task: str = ""
    #: `pending` or `accepted`; any other text is the error code of the refusal when the ticket is redeemed.
    status: str = "pending"
    http_status: int = 400
    headers: dict[str, str] = field(default_factory=dict)
    #: The status of the sign-in after the ticket was accepted, instead of `complete`.
    further: str = ""


class FrontendApi:
    """The server: `with FrontendApi(clerk_js, pages) as api: api.url`.

    Attributes:
        tickets: by their JWT; a JWT that is not in here is forged.
        redemptions: the tickets that a client tried to redeem.
        requests: all requests, as `METHOD path?query`.
        referrers: the Referer headers of all requests that had one.
    """

    def __init__(self, clerk_js: dict[str, Path], pages: dict[str, str]) -> None:
        self.pages = pages
        self._clerk_js = clerk_js
        self.tickets: dict[str, Ticket] = {}
        self.redemptions: list[str] = []
        self.requests: list[str] = []
        self.referrers: list[str] = []
        self._sessions: dict[str, list[dict[str, Any]]] = {}
        self._count = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        api = [
            Route("/dev_browser", self._dev_browser, methods=["POST"]),
            Route("/environment", self._environment, methods=["GET", "POST"]),
            Route("/client", self._client, methods=["GET"]),
            Route("/client/sessions", self._sign_out, methods=["POST"]),
            Route("/client/sign_ins", self._sign_in, methods=["POST"]),
            Route("/client/sessions/{session}/touch", self._touch, methods=["POST"]),
            Route("/client/sessions/{session}/tokens", self._token, methods=["POST"]),
        ]
        app = Starlette(
            routes=[
                Route("/__clerk/npm/@clerk/{name}@{version}/dist/{file}", self._script),
                Mount("/__clerk/v1", routes=api),
                Route("/{path:path}", self._page),
            ]
        )
        app.add_middleware(_Recorder, api=self)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> Self:
        """Start to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def forget(self) -> None:
        """Clear the recorded requests."""
        for noted in (self.redemptions, self.requests, self.referrers):
            noted.clear()

    def issue(self, user: str, *, ticket: str = "", **fate: Any) -> str:  # noqa: ANN401 - the fields of a Ticket
        """Return a new ticket for a user: the given one, else a JWT in Clerk's form."""
        self._count += 1
        ticket = ticket or _jwt({"eid": user, "sid": f"sit_{self._count}", "st": "sign_in_token"})
        self.tickets[ticket] = Ticket(user, **fate)
        return ticket

    async def _page(self, request: Request) -> Response:
        page = self.pages.get(request.url.path)
        return HTMLResponse(page) if page else Response("not found", 404)

    async def _script(self, request: Request) -> Response:
        name, version, file = (request.path_params[part] for part in ("name", "version", "file"))
        script = self._clerk_js[version.partition(".")[0]] / file if name == "clerk-js" else None
        return FileResponse(script) if script and script.is_file() else Response("not found", 404)

    async def _dev_browser(self, _: Request) -> Response:
        self._count += 1
        return JSONResponse({"id": f"dvb_{self._count}"})

    async def _environment(self, _: Request) -> Response:
        return JSONResponse({"display_config": {"sign_in_url": f"{self.url}/account"}})

    async def _client(self, request: Request) -> Response:
        client = self._client_of(request)
        return JSONResponse({"response": client, "client": None})

    async def _sign_in(self, request: Request) -> Response:
        [ticket] = parse_qs((await request.body()).decode())["ticket"]
        self.redemptions.append(ticket)
        known = self.tickets.get(ticket)
        if self._sessions.get(_browser(request)):
            return _refusal(400, "session_exists")
        if known is None:
            return _refusal(400, "ticket_invalid_code")
        if known.status == "accepted":
            return _refusal(400, "sign_in_token_already_used_code")
        if known.status != "pending":
            return _refusal(known.http_status, known.status, known.headers)
        known.status = "accepted"
        if known.further:
            return JSONResponse({"response": {"id": "sia_1", "status": known.further}, "client": None})
        session = self.sign_in(_browser(request), known.user, email=known.email, task=known.task)
        done = {"id": "sia_1", "status": "complete", "created_session_id": session["id"]}
        return JSONResponse({"response": done, "client": self._client_of(request)})

    def sign_in(self, browser: str, user: str, *, email: str = "", task: str = "") -> dict[str, Any]:
        """Start a session of a user in the browser with this `__clerk_db_jwt`, and return it."""
        self._count += 1
        session: dict[str, Any] = {"object": "session", "id": f"sess_{self._count}", "user": _user(user, email)}
        session |= {"status": "pending", "tasks": [{"key": task}]} if task else {"status": "active"}
        session["last_active_token"] = _session_token(session)
        self._sessions[browser] = [session]
        return session

    async def _sign_out(self, request: Request) -> Response:
        self._sessions.pop(_browser(request), None)
        return JSONResponse({"response": self._client_of(request), "client": None})

    async def _touch(self, request: Request) -> Response:
        (session,) = self._sessions[_browser(request)]
        return JSONResponse({"response": session, "client": self._client_of(request)})

    async def _token(self, request: Request) -> Response:
        (session,) = self._sessions[_browser(request)]
        return JSONResponse(_session_token(session))

    def _client_of(self, request: Request) -> dict[str, Any] | None:
        sessions = self._sessions.get(_browser(request), [])
        active = sessions[0]["id"] if sessions else None
        return {"object": "client", "id": "client_1", "last_active_session_id": active, "sessions": sessions}


class _Recorder:
    """Middleware that records every request before it is answered."""

    def __init__(self, app: Any, api: FrontendApi) -> None:  # noqa: ANN401 - an ASGI application
        self._app, self._api = app, api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        query = scope["query_string"].decode()
        self._api.requests.append(f"{scope['method']} {scope['path']}?{query}")
        self._api.referrers += [value.decode() for name, value in scope["headers"] if name == b"referer"]
        await self._app(scope, receive, send)


def _browser(request: Request) -> str:
    return request.query_params.get("__clerk_db_jwt", "")


def _refusal(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    words = {"message": code, "long_message": code, "code": code}
    return JSONResponse({"errors": [words], "clerk_trace_id": "0"}, status, headers)


def _user(user: str, email: str) -> dict[str, Any]:
    address = {"object": "email_address", "id": "idn_1", "email_address": email, "linked_to": []}
    return {"id": user, "primary_email_address_id": "idn_1", "email_addresses": [address] if email else []}


def _session_token(session: dict[str, Any]) -> dict[str, str]:
    now = int(time.time())
    claims = {"iat": now, "nbf": now - 10, "exp": now + 60, "iss": "https://landing-test.clerk.accounts.dev"}
    claims |= {"sid": session["id"], "sub": session["user"]["id"], "sts": session["status"], "v": 2, "fva": [0, -1]}
    return {"object": "token", "jwt": _jwt(claims)}


def _jwt(claims: dict[str, Any]) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, b"signature"))
