"""Answers in the form of Clerk's APIs: JSON objects, and refusals with their codes."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusal(Exception):  # noqa: N818 - an answer of the API, not a fault of the program
    """What the API answers when it does not do what it is asked; raised by an endpoint.

    Attributes:
        status: the HTTP status.
        code: Clerk's code, what a program goes by.
        headers: of the answer, such as `Retry-After`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        long_message: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.long_message = long_message or message
        self.param = param
        self.headers = dict(headers or {})

    def answer(self) -> Response:
        """Return the answer; Clerk's own clients require all three texts."""
        error: dict[str, Any] = {
            "message": self.message,
            "long_message": self.long_message,
            "code": self.code,
        }
        if self.param is not None:
            error["meta"] = {"param_name": self.param}
        trace = secrets.token_hex(16)
        return answer(
            {"errors": [error], "clerk_trace_id": trace},
            status=self.status,
            headers=self.headers | {"Clerk-Trace-Id": trace},
        )


def answer(content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `content` as JSON.

    The content type is exactly `application/json`: with a charset, @clerk/backend does not read the body.
    """
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, headers, media_type="application/json")


def not_found(what: str) -> Refusal:
    """Return the refusal of something that names nothing; `what` is a sentence about it."""
    return Refusal(404, "resource_not_found", "not found", long_message=what)


def missing(param: str) -> Refusal:
    """Return the refusal of a request without a parameter that it needs."""
    return Refusal(422, "form_param_missing", "is missing", long_message=f"{param} must be included.", param=param)


def invalid(param: str, why: str) -> Refusal:
    """Return the refusal of a parameter's value; `why` completes the sentence that begins with its name."""
    return Refusal(422, "form_param_value_invalid", "is invalid", long_message=f"{param} {why}.", param=param)


def malformed(param: str, why: str) -> Refusal:
    """Return the refusal of a parameter of the wrong form."""
    return Refusal(422, "form_param_format_invalid", "is invalid", long_message=f"{param} {why}.", param=param)
