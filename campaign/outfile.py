"""A page that a command leaves behind: written whole or not at all. What stands in it is decided elsewhere."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from campaign.errors import CannotStartError

#: So much of an earlier file is enough to know it by (characters).
_BEGINNING = 2000


def write_page(path: Path, text: str, *, mode: int, mine: str | None = None, force: bool = False) -> None:
    """Write a file with these permissions, in one step, so that nobody ever sees half of it.

    Args:
        path: where to; a symbolic link is followed.
        text: the whole file.
        mode: permissions, such as 0o600, whatever the umask says.
        mine: stands at the beginning of files that this command wrote before, which may be replaced.
        force: replace whatever file is there.

    Raises:
        CannotStartError: a file that is to be kept stands there, or it cannot be written.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise CannotStartError(f"{path} is not a file that can be replaced; name another one")
        if target.exists() and not force and not (mine and mine in _beginning(target)):
            hint = "name another one" if mine else "add --force to replace it, or name another one"
            raise CannotStartError(f"{path} exists and was left as it is; {hint}")
        if not target.parent.is_dir():
            raise CannotStartError(f"the folder {path.parent} does not exist; make it, or name another one")
        _replace(target, text, mode)
    except OSError as error:
        raise CannotStartError(f"{path} cannot be written: {error.strerror}; name another place") from error


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_BEGINNING)


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
