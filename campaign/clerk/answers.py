"""Read an answer of Clerk's API, `ApiAnswer`, and say which error it means for every call: `refusal_of`, `unusable`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from campaign.clock import SystemClock, instant
from campaign.errors import CampaignError, Scope, ServiceRefusesError, TransientError
from campaign.words import receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.model import Receipt

#: Clerk refuses the call itself, whatever user it is about (RFC 9110 §15.5: gone, method, media type, size …).
_REFUSED_CALLS = frozenset({405, 406, 410, 411, 413, 415, 426, 451, 501, 505})
#: How the codes of Clerk's errors about the key begin; a 403 with another code is about the user.
_ABOUT_THE_KEY = ("authorization", "authentication", "clerk_key", "secret_key", "instance", "forbidden")


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """The complete answer to a call."""

    method: str
    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> object:
        """The JSON value of the body; None if the body is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def receipt(self) -> Receipt:
        """The status and Clerk's error text; without an `enhanced` code the answer is not in Clerk's form."""
        error = self._error
        text = error.get("long_message") or error.get("message") or self.phrase
        return receipt(self.status, str(text), enhanced=str(error.get("code") or ""))

    @property
    def parameter(self) -> str:
        """The parameter of the request that Clerk's error is about; empty if it names none."""
        meta = self._error.get("meta")
        return str(meta.get("param_name") or "") if isinstance(meta, dict) else ""

    @property
    def wait(self) -> timedelta | None:
        """The wait that the answer asks for (`Retry-After`), or None."""
        return retry_after(self.headers.get("Retry-After"), now=instant(SystemClock().now()))

    @property
    def _error(self) -> dict[str, object]:
        data = self.json
        errors = data.get("errors") if isinstance(data, dict) else None
        return errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}


def refusal_of(answer: ApiAnswer, url: str) -> CampaignError | None:  # noqa: PLR0911 - a list of statuses
    """Return the error of an answer that means the same for every call; None if the call must read the answer itself.

    Args:
        answer: the answer.
        url: the API's, for the sentence.

    Returns:
        ServiceRefusesError: 401, 402, a 403 about the key, a redirect, a 404 that is not Clerk's, or a call that Clerk
            does not have (any more). TransientError: 429, 5xx, or a 403 of something in front of Clerk.
    """
    said, status = answer.receipt, answer.status
    if 300 <= status < 400:
        return ServiceRefusesError(
            f"Clerk answered with a redirect ({said.code}), which was not followed; check CLERK_API_URL"
        )
    about_the_key = said.enhanced.startswith(_ABOUT_THE_KEY) or (said.enhanced and answer.method == "GET")
    if status == 401 or (status == 403 and about_the_key):
        return ServiceRefusesError(f"Clerk refuses the key: {said}; check CLERK_SECRET_KEY and CLERK_API_URL")
    if status == 403 and not said.enhanced:
        # a firewall or a CDN answers with a page of its own, and lets calls pass later
        return TransientError(
            f"something in front of Clerk refuses the call: {said}", scope=Scope.CLERK, wait=answer.wait, reply=said
        )
    if status == 402:
        return ServiceRefusesError(f"Clerk asks for a payment: {said}; check the plan of your Clerk account")
    if status == 404 and not said.enhanced:
        return ServiceRefusesError(f"{url} is not Clerk's API (404); check CLERK_API_URL")
    if status in _REFUSED_CALLS:
        return ServiceRefusesError(
            f"Clerk refuses the call {answer.method}: {said}; check CLERK_API_URL, or upgrade campaign"
        )
    if status == 429:
        return TransientError("Clerk's rate limit is reached (429)", scope=Scope.CLERK, wait=answer.wait, reply=said)
    return unusable(answer) if status >= 500 else None


def unusable(answer: ApiAnswer, *, scope: Scope = Scope.CLERK) -> TransientError:
    """Return the error of an answer that says neither yes nor no; unless it is a 4xx, a POST may have been carried out.

    Args:
        answer: the answer.
        scope: what has to wait after a 4xx; after any other answer it is Clerk.
    """
    is_refusal = 400 <= answer.status < 500
    return TransientError(
        f"Clerk's answer cannot be used: {answer.receipt}",
        scope=scope if is_refusal else Scope.CLERK,
        wait=answer.wait,
        maybe_applied=answer.method == "POST" and not is_refusal,
        reply=answer.receipt,
    )


def retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """Return the wait that a `Retry-After` header asks for, in seconds or as a date (RFC 9110 §10.2.3), or None."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), 10**8))
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(timedelta(0), (date if date.tzinfo else date.replace(tzinfo=UTC)) - now)
