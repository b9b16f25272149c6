"""Start the progress bar of a run on a terminal, with a line of figures beside it: `started`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


def started(out: Console, *, total: int, line: Callable[[], str]) -> Progress:
    """Return a running progress bar with one task of `total` steps; `line` is called each time the bar is drawn."""
    bar = Progress(SpinnerColumn(), BarColumn(), MofNCompleteColumn(), _Line(line), console=out, transient=True)
    bar.add_task("sending", total=total)
    bar.start()
    return bar


class _Line(ProgressColumn):
    """The counts, the rate and the time left; the bar's own thread draws them, so that no delivery waits."""

    def __init__(self, line: Callable[[], str]) -> None:
        super().__init__()
        self._line = line

    def render(self, task: Task) -> Text:
        """Return the line as it is now."""
        del task
        return Text(self._line())
