"""The live line of a run: one line of the terminal, however narrow it is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from campaign.reporting.progress_bar import columns

FIGURES = "4,831 sent, 12 failed, 98.3/s, 0:42 left"


@pytest.mark.parametrize("width", [20, 40, 58, 80, 120, 200])
def test_the_bar_is_one_line(width: int) -> None:
    """The live line does not wrap; from 58 columns on it has all the figures, and in a wide terminal a bar."""
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    bar = Progress(*columns(width, lambda: FIGURES), console=out)
    bar.add_task("sending", total=5000, completed=4900)
    lines = [line for line in out.render_lines(bar.get_renderable()) if "".join(part.text for part in line).strip()]
    text = "".join(part.text for part in lines[0])
    assert len(lines) == 1
    assert (FIGURES in text) == (width >= 58)
    assert ("━" * 8 in text) == (width >= 80)
