"""The bar of a run on a terminal: how far it is, and a line of figures beside it. What the line says is not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


def started(out: Console, *, total: int, line: Callable[[], str]) -> Progress:
    """Return a bar that is drawn from now on, with one task of `total` steps; `line` is asked at each drawing."""
    bar = Progress(SpinnerColumn(), BarColumn(), MofNCompleteColumn(), _Line(line), console=out, transient=True)
    bar.add_task("sending", total=total)
    bar.start()
    return bar


class _Line(ProgressColumn):
    """The counts, the rate and the time left; drawn by the bar's own thread, so that a delivery only counts."""

    def __init__(self, line: Callable[[], str]) -> None:
        super().__init__()
        self._line = line

    def render(self, task: Task) -> Text:
        """Return the line as it is now."""
        del task
        return Text(self._line())
