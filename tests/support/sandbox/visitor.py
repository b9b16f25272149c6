"""Imitate the requests of clerk-js to the Frontend API: `Visitor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import httpx

from support.plain_http import NO_TLS

if TYPE_CHECKING:
    from campaign.sandbox import Sandbox


class Visitor:
    """One browser, identified by its `__clerk_db_jwt`.

    Attributes:
        http: for requests that clerk-js does not make.
        identity: the `__clerk_db_jwt`.
    """

    def __init__(self, sandbox: Sandbox, *, origin: str = "http://localhost:3000") -> None:
        self.http = httpx.Client(
            base_url=f"{sandbox.clerk_url}/__clerk", headers={"Origin": origin}, trust_env=False, verify=NO_TLS
        )
        self.identity: str = self.http.post("/v1/dev_browser").json()["id"]

    def __enter__(self) -> Self:
        """Return the visitor."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.http.close()

    def ask(self, method: str, path: str, **form: str) -> httpx.Response:
        """Return the response to a request; methods other than GET are sent as POST, as clerk-js does."""
        query = {"__clerk_db_jwt": self.identity}
        if method == "GET":
            return self.http.get(f"/v1{path}", params=query)
        if method != "POST":
            query["_method"] = method
        return self.http.post(f"/v1{path}", params=query, data=form)

    def redeem(self, ticket: str) -> httpx.Response:
        """Return the response to a sign-in with a ticket."""
        return self.ask("POST", "/client/sign_ins", strategy="ticket", ticket=ticket)

    def sessions(self) -> list[dict[str, Any]]:
        """Return the sessions of the browser's client."""
        client = self.ask("GET", "/client").json()["response"]
        found: list[dict[str, Any]] = client["sessions"] if client else []
        return found
