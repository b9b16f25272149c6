"""Start the progress bar of a run on a terminal, with a line of figures beside it: `started`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

#: The room that the figures beside the bar usually need, and the bar's own lengths (characters).
_FIGURES, _SHORTEST_BAR, _LONGEST_BAR = 70, 8, 40


def started(out: Console, *, total: int, line: Callable[[], str]) -> Progress:
    """Return a running progress bar with one task of `total` steps, on one line of the terminal.

    Args:
        out: the terminal. The figures come first: in a narrow one the bar is short or left out.
        total: the number of steps.
        line: returns the figures; it is called each time the bar is drawn.
    """
    bar = Progress(*columns(out.width, line), console=out, transient=True)
    bar.add_task("sending", total=total)
    bar.start()
    return bar


def columns(width: int, line: Callable[[], str]) -> list[ProgressColumn]:
    """Return the columns of a bar for a terminal of this width (characters)."""
    room = min(width - _FIGURES, _LONGEST_BAR)
    bars = [BarColumn(bar_width=room)] if room >= _SHORTEST_BAR else []
    return [SpinnerColumn(), *bars, MofNCompleteColumn(table_column=Column(no_wrap=True)), _Line(line)]


class _Line(ProgressColumn):
    """The counts, the rate and the time left; the bar's own thread draws them, so that no delivery waits."""

    def __init__(self, line: Callable[[], str]) -> None:
        super().__init__(table_column=Column(no_wrap=True, overflow="ellipsis"))
        self._line = line

    def render(self, task: Task) -> Text:
        """Return the line as it is now."""
        del task
        return Text(self._line())
