"""Limit the size and the work of one rendering, so that a mistake in a template cannot stop the run: `WorkLimit`.

Work is counted in steps and not in seconds, so that the same row gives the same result on every machine.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from campaign.errors import RowTooLargeError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

#: Characters that a rendered template, or a text that it makes on the way, may have. Mail servers take 10 to 50 MB.
MAX_CHARS = 10_000_000
#: Steps that the rendering of a template may take: passes through loops, calls and long values that are printed.
MAX_STEPS = 500_000
#: Steps that a call of a macro or function takes.
_STEPS_PER_CALL = 5
#: Characters that can be copied in the time of one step. Printing no more than these costs no step of its own, but is a
#: part of the pass of the loop around it.
CHARS_PER_STEP = 50
#: A compiled template yields its text in parts; so many are counted at once.
_PARTS_COUNTED_AT_ONCE = 64
#: Bits of a whole number: no amount or id has as many, and a power or a product could fill the memory with them.
_MAX_BITS = 10_000
_WIDE = re.compile(r"[0-9]{8}")


class WorkLimit:
    """Counts the work of one rendering at a time.

    Every method raises RowTooLargeError as soon as the rendering is larger, or takes more work, than a row may.
    """

    def __init__(self) -> None:
        self._left = MAX_STEPS
        self._room = MAX_CHARS

    def joined(self, parts: Generator[str]) -> str:
        """Begin to count, and return the text that a compiled template yields in parts."""
        self._left, self._room = MAX_STEPS, MAX_CHARS
        done = some = list(islice(parts, _PARTS_COUNTED_AT_ONCE))
        size = 0
        while len(some) == _PARTS_COUNTED_AT_ONCE:
            size += sum(map(len, some))
            if size > MAX_CHARS:
                # raised inside the template, so that the traceback has its line
                parts.throw(_too_large())
            some = list(islice(parts, _PARTS_COUNTED_AT_ONCE))
            done += some
        text = "".join(done)
        if len(text) > MAX_CHARS:
            raise _too_large()
        return text

    def call(self) -> None:
        """Count a call."""
        self._left -= _STEPS_PER_CALL
        self.spend()

    def printed(self, text: str) -> None:
        """Count a text that is printed and has more than `CHARS_PER_STEP` characters."""
        self._room -= len(text)
        self.spend(len(text) if self._room >= 0 else MAX_CHARS + 1)

    def spend(self, chars: int = 0) -> None:
        """Count a step that makes a text of `chars` characters."""
        if chars > MAX_CHARS:
            raise _too_large()
        self._left -= 1 + chars // CHARS_PER_STEP
        if self._left < 0:
            raise RowTooLargeError(
                f"Rendering takes more than {MAX_STEPS:,} steps, so it was stopped; is a loop inside another loop, or "
                "does a macro call itself?"
            )

    def concat(self, parts: Iterable[str]) -> str:
        """Return the text of a block or a macro, which compiled templates collect in parts."""
        known = list(parts)
        self.spend(sum(map(len, known)))
        return "".join(known)

    def paced(self, values: Iterable[object]) -> Iterator[object]:
        """Yield the values of a loop, counting each pass."""
        for value in values:
            self.spend()
            yield value

    def check_operation(self, operator: str, left: object, right: object) -> None:
        """Count `+`, `*`, `**` or `%` before it is done."""
        if isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple):
            if operator == "*":
                sized, times = (right, left) if isinstance(left, int) else (left, right)
                if isinstance(sized, str | list | tuple) and isinstance(times, int):
                    self.spend(len(sized) * max(times, 0))
            elif operator == "+":
                self.spend(sum(len(value) for value in (left, right) if isinstance(value, str | list | tuple)))
            elif operator == "%" and isinstance(left, str):
                self.check_width(left)
        elif isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
            if operator in {"*", "**"} and bits > _MAX_BITS:
                raise RowTooLargeError(f"The result of {operator} has more than {_MAX_BITS:,} bits; is it a mistake?")

    def check_width(self, pattern: str) -> None:
        """Refuse a width of a format, as in `%99999999d`, that would make a text too large."""
        if _WIDE.search(pattern):
            raise _too_large()

    def check_arguments(self, name: str, arguments: Iterable[object]) -> None:
        """Count what a filter or a method of a text would make, by its name and its values (the text comes first)."""
        text, *others = arguments
        if any(isinstance(other, int) and abs(other) > MAX_CHARS for other in others):
            raise _too_large()
        match name, text, others:
            case "replace", str(), [str() as old, str() as new, *_]:
                self.spend(len(text) + max(text.count(old) * (len(new) - len(old)), 0))
            case "join", str(), [list() | tuple() as values, *_]:  # the method, called on the separator
                self.spend(sum(len(str(value)) + len(text) for value in values))
            case "join", list() | tuple(), [str() as separator, *_]:
                self.spend(sum(len(str(value)) + len(separator) for value in text))
            case "format", str(), _:
                self.check_width(text)


def _too_large() -> RowTooLargeError:
    return RowTooLargeError(f"The text would have more than {MAX_CHARS:,} characters; a mail can have no more.")
