"""The quotes of one CSV row, followed without keeping it: for rows too large to be read, and for naming a fault."""

from __future__ import annotations

import re
from enum import Enum, auto


class _State(Enum):
    #: At the beginning of a cell.
    START = auto()
    #: In a cell without quotes.
    PLAIN = auto()
    #: In a cell with quotes: delimiters and line ends are text.
    QUOTED = auto()
    #: Behind a quote in such a cell: it ended, or the quote is written twice.
    QUOTE = auto()
    #: Behind the end of the row.
    END = auto()
    #: Behind something other than a delimiter that follows a closing quote.
    BROKEN = auto()


class RowScanner:
    """Reads a row by the rules of `csv.reader(strict=True, skipinitialspace=True)`, and remembers only quotes."""

    def __init__(self, delimiter: str, *, in_quotes: bool = False) -> None:
        self._state = _State.QUOTED if in_quotes else _State.START
        self._delimiter = delimiter
        #: In each state, what has to be looked for; whatever stands before it changes nothing.
        self._next = {
            _State.START: re.compile("[^ ]"),
            _State.PLAIN: re.compile(f"[{re.escape(delimiter)}\r\n]"),
            _State.QUOTED: re.compile('"'),
            _State.QUOTE: re.compile(".", re.DOTALL),
        }
        #: The line on which the last quote opened; 0: none did.
        self.opened = 0

    @property
    def in_quotes(self) -> bool:
        """Whether a quote is open."""
        return self._state is _State.QUOTED

    @property
    def broken(self) -> bool:
        """Whether something other than a delimiter follows a closing quote."""
        return self._state is _State.BROKEN

    def feed(self, text: str, line: int) -> bool:
        """Return whether the row ends in this piece of the physical line `line`, in good order or broken."""
        position = 0
        while (pattern := self._next.get(self._state)) and (found := pattern.search(text, position)):
            position = found.end()
            if self._state is _State.START and found[0] == '"':
                self.opened = line
            self._state = self._after(found[0])
        return pattern is None

    def _after(self, character: str) -> _State:
        if character == '"':
            return _State.QUOTE if self._state is _State.QUOTED else _State.QUOTED
        if character in "\r\n":
            return _State.END
        if character == self._delimiter:
            return _State.START
        return _State.BROKEN if self._state is _State.QUOTE else _State.PLAIN
