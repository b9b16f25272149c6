"""Parse bytes from a server into whole replies (RFC 5321 §4.2), in order and in bounded memory: `ReplyReader`."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from campaign.words import receipt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.model import Receipt

#: RFC 5321 §4.5.3.1.5 allows 512 bytes a line; some servers send more.
_MAX_LINE_BYTES = 8192
_MAX_REPLY_BYTES = 65536

_LINE = re.compile(rb"([2-5]\d\d)([ -]?)(.*)", re.DOTALL)


class MalformedReplyError(Exception):
    """The server sent something that is not an SMTP reply, or is too long for one."""


class Reply:
    """One complete reply."""

    def __init__(self, code: int, data: bytes) -> None:
        self.code = code
        self._data = data

    def __repr__(self) -> str:
        """Return the reply as it stands in logs."""
        return f"Reply({self.code}, {self.text[:60]!r})"

    @property
    def text(self) -> str:
        """The text of all lines, joined with spaces."""
        return self._data.decode("utf-8", "replace")

    @cached_property
    def receipt(self) -> Receipt:
        """The reply as a receipt, which is safe to store."""
        return receipt(self.code, self.text)


class ReplyReader:
    """Collects bytes in chunks of any size and yields the complete replies."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0
        self._code = b""

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Yield the replies that `data` completes, in order; the caller must exhaust the iterator.

        Raises:
            MalformedReplyError: a line is too long, is no reply, or changes the code within a reply. What came before
                it has been yielded.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            reply = None if self._lines else _whole(line)
            if reply is not None or (reply := self._add(line)) is not None:
                yield reply
        if len(self._rest) > _MAX_LINE_BYTES:
            raise MalformedReplyError("a reply line is too long")

    def _add(self, line: bytes) -> Reply | None:
        if len(line) > _MAX_LINE_BYTES:
            raise MalformedReplyError(f"not a reply: {line[:60]!r}")
        code, mark, text = _parts(line)
        if (self._lines and code != self._code) or (text and not mark):
            raise MalformedReplyError(f"not a reply: {line[:60]!r}")
        self._code = code
        self._size += len(line)
        if self._size > _MAX_REPLY_BYTES:
            raise MalformedReplyError("a reply is too long")
        self._lines.append(text.strip())
        if mark == b"-":
            return None
        reply = Reply(int(code), b" ".join(self._lines))
        self._lines.clear()
        self._size = 0
        return reply


@lru_cache(maxsize=64)  # most replies have one line, and most of those are the same for every message
def _whole(line: bytes) -> Reply | None:
    """Return the reply if the line is a complete one, or None."""
    found = _LINE.fullmatch(line.rstrip(b"\r")) if len(line) <= _MAX_LINE_BYTES else None
    return Reply(int(found[1]), found[3]) if found is not None and found[2] == b" " else None


def _parts(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a line's code, the separator after it, and its text."""
    found = _LINE.fullmatch(line.rstrip(b"\r"))
    if found is None:
        raise MalformedReplyError(f"not a reply: {line[:60]!r}")
    return found[1], found[2], found[3]
