"""Serve the waitlist in the Backend API: list, add, invite and reject, `waitlist_routes`. Inviting sends no mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from campaign.sandbox.answers import answer, invalid, malformed, missing, not_found
from campaign.sandbox.backend import body_of, page_of
from campaign.sandbox.waitlist import ORDERS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from campaign.sandbox.backend import Backend
    from campaign.sandbox.waitlist import WaitlistEntry

_STATUSES = ("pending", "invited", "completed", "rejected")


def waitlist_routes(backend: Backend) -> list[Route]:
    """Return the routes of `/v1/waitlist_entries`."""
    waitlist = backend.state.waitlist

    async def find(request: Request) -> Response:
        limit, offset = page_of(request)
        status = request.query_params.get("status")
        if status is not None and status not in _STATUSES:
            raise invalid("status", f"must be one of {', '.join(_STATUSES)}")
        order, descending = _order_of(request)
        found = waitlist.find(status=status, order=order, descending=descending, limit=limit, offset=offset)
        return answer({"data": [_entry_object(entry) for entry in found], "total_count": waitlist.count(status=status)})

    async def add(request: Request) -> Response:
        body = await body_of(request, known=frozenset({"email_address", "notify"}))
        address = body.get("email_address")
        if not address:
            raise missing("email_address")
        if not isinstance(address, str) or "@" not in address:
            raise malformed("email_address", "must be a valid email address")
        return answer(_entry_object(waitlist.add(address)))

    async def invite(request: Request) -> Response:
        await body_of(request, known=frozenset({"ignore_existing"}))
        return _moved(request, "invited")

    async def reject(request: Request) -> Response:
        return _moved(request, "rejected")

    def _moved(request: Request, status: str) -> Response:
        entry_id = request.path_params["entry_id"]
        entry = waitlist.move(entry_id, status=status)
        if entry is None:
            raise not_found(f"No waitlist entry was found with id {entry_id}.")
        return answer(_entry_object(entry))

    return [
        backend.route("GET", "/v1/waitlist_entries", find),
        backend.route("POST", "/v1/waitlist_entries", add),
        backend.route("POST", "/v1/waitlist_entries/{entry_id}/invite", invite),
        backend.route("POST", "/v1/waitlist_entries/{entry_id}/reject", reject),
    ]


def _order_of(request: Request) -> tuple[str, bool]:
    """Return the field by which to sort, and whether the largest comes first, from the request's query."""
    written = request.query_params.get("order_by", "-created_at")
    field = written.lstrip("+-")
    if field not in ORDERS or written not in {field, f"+{field}", f"-{field}"}:
        raise invalid("order_by", f"must be one of {', '.join(ORDERS)}, with + or - before it")
    return field, written.startswith("-")


def _entry_object(entry: WaitlistEntry) -> dict[str, Any]:
    return {
        "object": "waitlist_entry",
        "id": entry.id,
        "email_address": entry.address,
        "status": entry.status,
        "is_locked": False,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
    }
