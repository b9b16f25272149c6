"""Follow the quotes of one CSV row without storing it, to skip a large row or find a wrong quote: `RowScanner`."""

from __future__ import annotations

import re
from enum import Enum, auto


class _State(Enum):
    #: At the start of a cell.
    START = auto()
    #: In a cell without quotes.
    PLAIN = auto()
    #: In a cell with quotes: delimiters and line ends are text.
    QUOTED = auto()
    #: After a quote in a cell with quotes: the cell ends, or the quote is doubled.
    QUOTE = auto()
    #: After the end of the row.
    END = auto()
    #: After a closing quote that is not followed by a delimiter or a line end.
    BROKEN = auto()


class RowScanner:
    """Scans a row by the rules of `csv.reader(strict=True, skipinitialspace=True)`, but keeps only its state."""

    def __init__(self, delimiter: str, *, in_quotes: bool = False) -> None:
        self._state = _State.QUOTED if in_quotes else _State.START
        self._delimiter = delimiter
        #: For each state, the pattern that ends it; the text before a match does not change the state.
        self._next = {
            _State.START: re.compile("[^ ]"),
            _State.PLAIN: re.compile(f"[{re.escape(delimiter)}\r\n]"),
            _State.QUOTED: re.compile('"'),
            _State.QUOTE: re.compile(".", re.DOTALL),
        }
        #: The line of the last opening quote; 0: there was none.
        self.opened = 0

    @property
    def in_quotes(self) -> bool:
        """Whether a quote is open."""
        return self._state is _State.QUOTED

    @property
    def broken(self) -> bool:
        """Whether a closing quote is followed by something other than a delimiter or a line end."""
        return self._state is _State.BROKEN

    def feed(self, text: str, line: int) -> bool:
        """Scan a piece of the line with number `line`; return whether the row ends or breaks in it."""
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
