"""Make the sandbox's folder and files private, and refuse symbolic links: `private_folder`, `private_file`."""

from __future__ import annotations

import os
import shlex
import stat
from typing import TYPE_CHECKING

from campaign.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from pathlib import Path


#: Ignores the whole folder if it is inside a Git repository: it contains addresses and keys.
_GITIGNORE = "*\n"


def private_folder(folder: Path) -> None:
    """Create `folder` with mode 0700, or accept an existing one.

    Raises:
        SandboxError: it is a symbolic link or a file, belongs to another user, others may write to it, or it cannot be
            created.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _check_folder(folder)
    except OSError as error:
        raise SandboxError(
            f"The folder {folder} cannot be made ({error.strerror}); set CAMPAIGN_SANDBOX to one that can."
        ) from error


def _check_folder(folder: Path) -> None:
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode):
        raise SandboxError(
            f"{folder} is not a folder of its own (a file or a symbolic link); "
            "remove it, or set CAMPAIGN_SANDBOX to another path."
        )
    if about.st_uid != os.geteuid():
        raise SandboxError(f"{folder} belongs to another user; set CAMPAIGN_SANDBOX to a folder of your own.")
    mode = stat.S_IMODE(about.st_mode)
    if mode & 0o077 and not any(folder.iterdir()):
        folder.chmod(0o700)
    elif mode & 0o022:
        # What is in it may be theirs: keys, or links to other files.
        raise SandboxError(
            f"Other users may write to {folder} (mode {mode:04o}); look at what is in it and type: "
            f"chmod 700 {shlex.quote(str(folder))}, or set CAMPAIGN_SANDBOX to another folder."
        )


def private_file(file: Path) -> None:
    """Create an empty `file` with mode 0600, or accept an existing one.

    Raises:
        SandboxError: it is a symbolic link or not a regular file, or cannot be created.
    """
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        if not stat.S_ISREG(file.lstat().st_mode):
            raise SandboxError(f"{file} is not a plain file; remove it, and the sandbox makes a new one.")
    except OSError as error:
        raise SandboxError(
            f"{file} cannot be opened ({error.strerror}); remove it, or set CAMPAIGN_SANDBOX to another folder."
        ) from error


def keep_out_of_git(folder: Path) -> None:
    """Write a `.gitignore` that ignores the whole folder, unless one exists."""
    file = folder / ".gitignore"
    if not os.path.lexists(file):
        private_file(file)
        file.write_text(_GITIGNORE, encoding="ascii")
