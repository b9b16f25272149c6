"""Notice files that have changed and are whole: `FileWatch.look`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

#: A file that was renamed into place is whole when two looks this far apart find it the same (seconds).
SETTLED_S = 1.0
#: A file that is written in place, or has vanished, is taken as it is when it was quiet for this long (seconds).
QUIET_S = 3.0
#: A CSV whose last line has no end may lack the rest of it: it is taken when it was quiet for this long (seconds).
UNENDED_S = 30.0


class _Look(NamedTuple):
    """What tells one content of a file from another; all zero if there is no file."""

    inode: int = 0
    size: int = 0
    mtime_ns: int = 0


@dataclass(slots=True)
class _File:
    #: As it was when it was reported last, or when the watch began.
    taken: _Look
    #: As it was at the last look, and since when.
    seen: _Look
    since: float


class FileWatch:
    """The files of a watch, looked at again and again: that works on every file system.

    Args:
        now: the machine's time in seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._files: dict[Path, _File] = {}
        #: The CSVs among them, whose last line must have an end.
        self._lists: frozenset[Path] = frozenset()

    def follow(self, files: Iterable[Path], *, lists: Iterable[Path] = ()) -> None:
        """Look at these files and no others from now on; one that is new here counts as known as it is now.

        Args:
            files: the files; they need not exist.
            lists: the CSVs among them.
        """
        now, known = self._now(), self._files
        self._lists = frozenset(lists)
        self._files = {path: known.get(path) or _File(look := _look(path), look, now) for path in files}

    def look(self) -> set[Path]:
        """Return the files that have changed and are whole, or have vanished, each change once."""
        now = self._now()
        changed = set()
        for path, file in self._files.items():
            look = _look(path)
            if look != file.seen:
                file.seen, file.since = look, now
            if look != file.taken and now - file.since >= self._patience(path, file):
                file.taken = look
                changed.add(path)
        return changed

    def is_whole(self, path: Path) -> bool:
        """Return whether a CSV can be read as it is, when the watch begins: its last line has an end, or it is old."""
        with suppress(OSError):
            return _is_ended(path) or self._now() - path.stat().st_mtime >= UNENDED_S
        return True  # whoever reads it says what is wrong

    def _patience(self, path: Path, file: _File) -> float:
        """Return how long a change must stay as it is before it is taken."""
        if path in self._lists and file.seen.inode and not _is_ended(path):
            return UNENDED_S
        was_replaced = file.seen.inode not in {0, file.taken.inode}
        return SETTLED_S if was_replaced else QUIET_S


def _look(path: Path) -> _Look:
    with suppress(OSError):
        found = path.stat()
        return _Look(found.st_ino, found.st_size, found.st_mtime_ns)
    return _Look()


def _is_ended(path: Path) -> bool:
    """Return whether a file is empty or its last byte ends a line; True if it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        if not file.seek(0, 2):
            return True
        file.seek(-1, 2)
        # the last byte of a line end in UTF-16, too, in one of its two orders
        return file.read(1) in b"\n\r\0"
    return True
