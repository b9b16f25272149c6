"""Check that a command told of no fault of its own: `assert_no_fault`."""

from __future__ import annotations


def assert_no_fault(told: str) -> None:
    """Check that a command's output has neither a traceback nor the sentence that stands for one."""
    assert not has_fault(told), told


def has_fault(told: str) -> bool:
    """Return whether a command's output tells of a fault of its own."""
    return "Traceback" in told or "this is a bug in campaign" in told
