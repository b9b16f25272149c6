"""Collect what may be a bounce tag in a report: `TagCandidates`. Only its key's owner can tell whether it is one."""

from __future__ import annotations

import re

#: The letters of a bounce tag; a changed one may be any letter or digit, and is still a (false) tag.
_TAG = re.compile(r"[a-z0-9]{28}")
#: An address whose local part ends with `+TAG`, also one that a forwarder rewrote (`SRS0=…=bounces+TAG@…`).
_TAGGED = re.compile(r"\+([A-Za-z0-9]{28})@")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
#: More than this are no tags but an attempt to guess one.
_MAX_TAGS = 5


class TagCandidates:
    """The distinct tags of a report, in the order in which they were found, at most five."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def add_addresses(self, *values: str) -> None:
        """Add the tags of all addresses in header values; a local part may have lost its case on the way."""
        for value in values:
            for found in _TAGGED.findall(value):
                self._add(found)

    def add_envelope_id(self, value: str) -> None:
        """Add an envelope id (RFC 3464 §2.2.1), which some servers leave encoded as xtext (RFC 3461 §4)."""
        self._add(_XTEXT.sub(lambda found: chr(int(found[1], 16)), value.strip().strip("<>")))

    def _add(self, text: str) -> None:
        tag = text.lower()
        if _TAG.fullmatch(tag) and len(self._found) < _MAX_TAGS:
            self._found[tag] = None

    def all(self) -> tuple[str, ...]:
        """Return the tags."""
        return tuple(self._found)
