"""A page that a command leaves behind: written whole or not at all. What stands in it is decided elsewhere."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from campaign.errors import CannotStartError

#: So much of an earlier file is enough to know it by (characters).
_HEAD_BYTES = 2000


def place_for(path: Path, *, mine: str | None = None, force: bool = False) -> Path:
    """Return where a page is to be written; a symbolic link is followed.

    Args:
        path: as it was typed.
        mine: stands at the beginning of files that this command wrote before, which may be replaced.
        force: whatever file is there may be replaced.

    Raises:
        CannotStartError: a file that is to be kept stands there, or there is no such place.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise CannotStartError(f"{path} is not a regular file and cannot be replaced; name another file")
        if target.exists() and not force and not (mine and mine in _beginning(target)):
            hint = "name another file" if mine else "add --force to replace it, or name another file"
            raise CannotStartError(f"{path} exists and was not changed; {hint}")
        if not target.parent.is_dir():
            raise CannotStartError(f"the folder {path.parent} does not exist; create it, or name another folder")
    except OSError as error:
        raise _unwritable(path, error) from error
    return target


def write_page(path: Path, text: str, *, mode: int) -> None:
    """Write a file in one step, so that nobody ever sees half of it.

    Args:
        path: from `place_for`.
        text: the whole file.
        mode: its permissions, such as 0o600, whatever the umask says.

    Raises:
        CannotStartError: it cannot be written.
    """
    try:
        _replace(path, text, mode)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> CannotStartError:
    return CannotStartError(f"{path} cannot be written: {error.strerror}; name another file")


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_HEAD_BYTES)


def _replace(path: Path, text: str, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".campaign-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
