"""The sandbox's one error. What Clerk's API refuses is an answer, not an error: `answers.py`."""

from __future__ import annotations


class SandboxError(Exception):
    """The sandbox cannot work; the text is a sentence that says what to do."""
