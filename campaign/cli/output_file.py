"""Write a command's output file completely or not at all: `place_for` checks the path, `write_page` writes."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from campaign.errors import CannotStartError

#: How much of an existing file is read to find out whether this command wrote it (characters).
_HEAD_BYTES = 2000


def place_for(path: Path, *, mine: str | None = None, force: bool = False) -> Path:
    """Return the path to write a page to; a symbolic link is followed.

    Args:
        path: as it was typed.
        mine: a mark near the beginning of files that this command wrote before; such a file may be replaced.
        force: any existing file may be replaced.

    Raises:
        CannotStartError: a file exists that must not be replaced, or the folder does not exist.
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
    """Write a file atomically (temporary file, then rename), so that no program reads a half-written file.

    Args:
        path: the result of `place_for`.
        text: the content of the file.
        mode: the file's permissions, such as 0o600, regardless of the umask.

    Raises:
        CannotStartError: the file cannot be written.
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
