"""The sandbox's one exception, `SandboxError`. Refusals of Clerk's API are in `answers.py`."""

from __future__ import annotations


class SandboxError(Exception):
    """The sandbox cannot work; the message is a sentence that says what to do."""
