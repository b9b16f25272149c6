"""Imitate Clerk's Backend API as a state machine from request to response, without sockets and faults: `Api`."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from support.servers.clerk_script import UserDirectory, error_body
from support.servers.clerk_users import user_json

if TYPE_CHECKING:
    from support.servers.clerk_script import ClerkScript
    from support.servers.record import Record


#: When the first entry of the waitlist joined (milliseconds since the epoch).
_OPENED = 1_700_000_000_000


@dataclass(frozen=True)
class Request:
    """A client's request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """A response."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


def error(status: int, code: str, **meta: str) -> Response:
    """Return an error in Clerk's form."""
    return Response(status, error_body(code, **meta))


@dataclass
class Token:
    """A sign-in token as Clerk stores it."""

    id: str
    user_id: str
    text: str
    created: int
    status: str = "pending"

    def as_json(self) -> dict[str, Any]:
        """Return the object that Clerk responds with."""
        return {
            "object": "sign_in_token",
            "id": self.id,
            "status": self.status,
            "user_id": self.user_id,
            "token": self.text,
            "url": f"https://clerk.acme.example/v1/tickets/accept?ticket={self.text}",
            "created_at": self.created,
            "updated_at": int(time.time() * 1000),
        }


class Api:
    """One instance: its users, its tokens and its rate limit."""

    def __init__(self, script: ClerkScript, record: Record) -> None:
        self._script = script
        self._record = record
        self.users = UserDirectory(script.users)
        self._tokens: dict[str, Token] = {}
        self._recent: deque[float] = deque()
        self._shut_until = 0.0
        #: Makes the tokens of different servers differ.
        self._salt = f"{script.seed}:{time.time_ns()}"

    # -- before the work -------------------------------------------------------------------------------------

    def shut(self, seconds: float) -> None:
        """Answer all requests with 429 for this many seconds."""
        self._shut_until = max(self._shut_until, time.monotonic() + seconds)

    def allowance(self) -> Response | None:
        """Return 429 if the rate limit is reached; else count the request and return None."""
        now = time.monotonic()
        if now >= self._shut_until and self._script.limit is not None:
            count, seconds = self._script.limit
            while self._recent and self._recent[0] <= now - seconds:
                self._recent.popleft()
            if len(self._recent) < count:
                self._recent.append(now)
            else:
                self.shut(self._recent[0] + seconds - now)
        if now < self._shut_until:
            wait = max(1, -int(-(self._shut_until - now) // 1))
            return Response(429, error_body("too_many_requests"), {"Retry-After": str(wait)})
        return None

    def authorise(self, request: Request) -> Response | None:
        """Return 401 if the key is missing or wrong, else None."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key.strip():
            return error(401, "authorization_header_format_invalid")
        if self._script.key is not None and key.strip() != self._script.key:
            return error(401, "clerk_key_invalid")
        return None

    @staticmethod
    def stage(request: Request) -> str:
        """Return the stage of a request, by the names that `Fault.at` uses."""
        path = urlsplit(request.target).path
        if path.startswith("/v1/sign_in_tokens"):
            return "revoke" if path.endswith("/revoke") else "create"
        if path.startswith("/v1/waitlist_entries"):
            return "waitlist"
        if path == "/v1/users" and request.method == "POST":
            return "user"
        return "users" if path.startswith("/v1/users") else "other"

    def subject(self, request: Request) -> str:
        """Return the user id that a request is about; empty if there is none."""
        match self.stage(request):
            case "create":
                try:
                    return str(json.loads(request.body)["user_id"])
                except (ValueError, KeyError, TypeError):
                    return ""
            case "user":
                return self.users.owner(_address_in(request))
            case "revoke":
                token = self._tokens.get(self._token_id(request))
                return token.user_id if token else ""
        return ""

    @staticmethod
    def _token_id(request: Request) -> str:
        return urlsplit(request.target).path.removeprefix("/v1/sign_in_tokens/").removesuffix("/revoke")

    # -- the work --------------------------------------------------------------------------------------------

    def work(  # noqa: PLR0911 - a list of calls
        self, request: Request, *, instead: str | None = None, lost: bool = False
    ) -> Response:
        """Do and record the work of a request, and return the usual response.

        `instead` is another user for whom to make the token; `lost` notes in the record that the client will not
        receive the whole response.
        """
        url = urlsplit(request.target)
        known = (request.method, self.stage(request), url.path)
        match known:
            case ("POST", "create", "/v1/sign_in_tokens"):
                return self._create(request, instead=instead, lost=lost)
            case ("POST", "revoke", _):
                return self._revoke(self._token_id(request))
            case ("POST", "user", "/v1/users"):
                return self._create_user(_address_in(request), lost=lost)
            case ("GET", "waitlist", "/v1/waitlist_entries"):
                return self._waitlist(parse_qs(url.query))
            case ("GET", "users", "/v1/users"):
                return self._list(parse_qs(url.query))
            case ("GET", "users", "/v1/users/count"):
                return Response(200, {"object": "total_count", "total_count": self.users.count()})
        return error(404, "resource_not_found")

    def use(self, token_id: str) -> bool:
        """Sign in with a token, which uses it up; return whether that succeeded."""
        token = self._tokens.get(token_id)
        if token is None or token.status != "pending":
            return False
        token.status = "accepted"
        self.users.seen.setdefault(token.user_id, {})["last_sign_in_at"] = int(time.time() * 1000)
        self._record.write("used", id=token_id)
        return True

    def _create(self, request: Request, *, instead: str | None, lost: bool) -> Response:
        try:
            asked = json.loads(request.body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return error(400, "request_body_invalid")
        user_id, seconds = asked.get("user_id"), asked.get("expires_in_seconds", 2592000)
        if not isinstance(user_id, str) or not user_id:
            return error(422, "form_param_missing", param_name="user_id")
        if not isinstance(seconds, int) or seconds < 1:
            return error(422, "form_param_value_invalid", param_name="expires_in_seconds")
        if not self.users.knows(user_id):
            return error(404, "resource_not_found")
        token = self._mint(instead or user_id)
        self._record.write(
            "token",
            id=token.id,
            token=token.text,
            sha256=hashlib.sha256(token.text.encode()).hexdigest(),
            user_id=token.user_id,
            created=time.time(),
            expires_at=time.time() + seconds,
            seconds=seconds,
            org_id=asked.get("org_id"),
            lost=lost,
        )
        return Response(200, token.as_json())

    def _mint(self, user_id: str) -> Token:
        number = len(self._tokens) + 1
        digest = hashlib.sha256(f"{self._salt}:{number}".encode()).hexdigest()
        token_id = f"sit_{digest[:27]}"
        length = max(8, (self._script.token_length - 130) * 3 // 4)
        parts = (
            b'{"alg":"RS256","typ":"JWT"}',
            json.dumps({"sit": token_id, "sub": user_id}).encode(),
            hashlib.shake_256(digest.encode()).digest(length),
        )
        text = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
        token = self._tokens[token_id] = Token(token_id, user_id, text, int(time.time() * 1000))
        return token

    def _revoke(self, token_id: str) -> Response:
        token = self._tokens.get(token_id)
        if token is None:
            return error(404, "resource_not_found")
        if token.status != "pending":
            return error(400, "sign_in_token_cannot_be_revoked_code")
        token.status = "revoked"
        self._record.write("revoked", id=token_id)
        return Response(200, token.as_json())

    def _list(self, query: dict[str, list[str]]) -> Response:
        ids, addresses = query.get("user_id", []), query.get("email_address", [])
        if len(ids) > 100 or len(addresses) > 100:
            return error(422, "form_param_value_invalid", param_name="user_id" if ids else "email_address")
        limit = int(query.get("limit", ["10"])[0])
        if not 1 <= limit <= 500:
            return error(422, "form_param_value_invalid", param_name="limit")
        offset = int(query.get("offset", ["0"])[0])
        found = [one for one in ids if self.users.knows(one)] if ids else []
        found += [one for address in addresses for one in self.users.find(address)]
        page = list(dict.fromkeys(found))[offset : offset + limit]
        return Response(200, [user_json(self.users, one) for one in page])

    def _create_user(self, address: str, *, lost: bool) -> Response:
        user_id = self.users.owner(address)
        if not self.users.may_be_created(user_id):
            return error(403, "not_allowed_access")
        again = self.users.knows(user_id)
        self._record.write("user", user_id=user_id, address=address, again=again, lost=lost)
        if again:
            return error(422, "form_identifier_exists", param_name="email_address")
        self.users.created.add(user_id)
        return Response(200, user_json(self.users, user_id))

    def _waitlist(self, query: dict[str, list[str]]) -> Response:
        limit, offset = int(query.get("limit", ["10"])[0]), int(query.get("offset", ["0"])[0])
        entries = self.users.entries()
        if query.get("order_by", ["-created_at"])[0].startswith("-"):
            entries.reverse()
        if wanted := query.get("status"):
            entries = [one for one in entries if one[2] in wanted]
        page = [
            {
                "object": "waitlist_entry",
                "id": one,
                "email_address": address,
                "status": status,
                "created_at": _OPENED + number * 1000,
                "updated_at": _OPENED + number * 1000,
            }
            for number, (one, address, status) in enumerate(entries)
        ]
        return Response(200, {"data": page[offset : offset + limit], "total_count": len(page)})


def _address_in(request: Request) -> str:
    """Return the address of the user that a request asks for; empty if it names none."""
    try:
        return str(json.loads(request.body)["email_address"][0])
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
