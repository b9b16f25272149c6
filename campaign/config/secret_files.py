"""Read a secret from a file, as Docker and systemd hand it over: `read_secret_file`; check a command and a key."""

from __future__ import annotations

import shlex
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: The longest secret (bytes).
_MAX_BYTES = 4096
#: Characters: 16 hexadecimal bytes, and no word that can be guessed.
_MIN_SIGNING_KEY = 32


def read_secret_file(path: Path) -> str:
    """Return the secret in a file, without the line end behind it.

    That other users may read the file is accepted: Docker mounts secrets so, in a container of one user.

    Raises:
        ValueError: the file cannot be read or trusted, or holds anything but one line; the message names neither the
            path nor the content, since either may be the secret.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_mode & stat.S_IWOTH:
                raise ValueError("every user of this machine may write the file; type chmod 600 and its path")
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}; write the path of a file") from None
    try:
        secret = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text; write the secret alone into it") from None
    if not secret or len(data) > _MAX_BYTES or not secret.isprintable():
        raise ValueError("the file is empty, too long or has several lines; write the secret alone into it")
    return secret


def require_command(command: str) -> str:
    """Return the command that prints a secret.

    Raises:
        ValueError: it is no command line, or empty.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"it is not a command line: {error}") from None
    if not words:
        raise ValueError("write a command that prints an access token")
    return command


def require_signing_key(key: str | None) -> None:
    """Refuse a key for signatures (HMAC, RFC 2104 §3) that can be guessed or was copied with something else.

    Raises:
        ValueError: the key is too short, or has blanks or control characters; the message does not contain it.
    """
    if key is not None and (len(key) < _MIN_SIGNING_KEY or not key.isprintable() or " " in key):
        raise ValueError(
            f"it must be at least {_MIN_SIGNING_KEY} characters without blanks; type openssl rand -hex 32 for a new one"
        )
