"""Build responses in the form of Clerk's APIs: `answer` for JSON, `ApiError` for errors with Clerk's codes."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping


class ApiError(Exception):
    """An error response of the API; an endpoint raises it to refuse a request.

    Attributes:
        status: the HTTP status.
        code: Clerk's error code, for programs to act on.
        headers: of the response, such as `Retry-After`.
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
        """Return the response; Clerk's own clients require all three texts."""
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
    """Return `content` as a JSON response.

    The content type is exactly `application/json`: with a charset, @clerk/backend does not read the body.
    """
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, headers, media_type="application/json")


def not_found(what: str) -> ApiError:
    """Return the 404 for an id or path that does not exist; `what` is a sentence about it."""
    return ApiError(404, "resource_not_found", "not found", long_message=what)


def missing(param: str) -> ApiError:
    """Return the 422 for a request without a required parameter."""
    return ApiError(422, "form_param_missing", "is missing", long_message=f"{param} must be included.", param=param)


def invalid(param: str, why: str) -> ApiError:
    """Return the 422 for an invalid parameter value; `why` completes a sentence that starts with its name."""
    return ApiError(422, "form_param_value_invalid", "is invalid", long_message=f"{param} {why}.", param=param)


def malformed(param: str, why: str) -> ApiError:
    """Return the 422 for a parameter in the wrong format; `why` completes a sentence that starts with its name."""
    return ApiError(422, "form_param_format_invalid", "is invalid", long_message=f"{param} {why}.", param=param)
