"""The environment that each benchmark gets, and the table line that it returns."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import install, material, sink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    what: str
    figure: str
    #: Whether the figure reaches its target; None if it has no target.
    reached: bool | None = None
    wanted: str = ""
    peer: str = ""
    ratio: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """The environment of one benchmark."""

    #: Its own empty folder, on the disk where durable writes are measured.
    folder: Path
    #: A quick run: smaller counts and fewer rounds, to check that the benchmark works.
    quick: bool

    def pick(self, full: int, quick: int) -> int:
        """Return the count for this kind of run."""
        return quick if self.quick else full

    def recipients(self, count: int) -> Path:
        """Return a CSV of `count` recipients."""
        path = self.folder / f"recipients-{count}.csv"
        return path if path.exists() else material.write_recipients(path, count)

    def templates(self, *, style: bool = False) -> Path:
        """Return the folder of the peers' templates, with a `<style>` if wanted."""
        folder = self.folder / ("styled" if style else "templates")
        if not folder.exists():
            folder.mkdir()
            material.write_templates(folder, material.PLAIN_LINK, style=style)
        return folder

    @contextmanager
    def sink(self) -> Iterator[sink.Sink]:
        """Run `smtp-sink` for as long as the block lasts.

        Raises:
            BenchmarkError: it is missing, or does not start.
        """
        with sink.smtp_sink(install.postfix_tool("smtp-sink"), self.folder) as running:
            yield running


def say(text: str) -> None:
    """Write a line of progress, beside the table."""
    sys.stderr.write(text + "\n")
