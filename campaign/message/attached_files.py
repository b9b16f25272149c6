"""Open the files that a mail may carry, and no others: `AttachedFiles`.

They are regular files in the campaign's folder. A path may hold a recipient's data, so a file that is no attachment by
its nature is refused as well: hidden files, keys, settings, databases and the recipients' CSV.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from campaign.config.definition.attachment_section import check_path
from campaign.config.size import size_text
from campaign.errors import RowError
from campaign.message.filters import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

#: Endings of keys, settings and databases.
_PRIVATE = frozenset(
    {
        *(".env", ".key", ".pem", ".p12", ".pfx", ".p8", ".ppk", ".jks", ".kdbx"),
        *(".toml", ".ini", ".conf", ".db", ".db-wal", ".db-shm", ".sqlite", ".sqlite3"),
    }
)
#: The beginning of each SQLite file (https://www.sqlite.org/fileformat2.html §1.3), such as the send log.
_SQLITE = b"SQLite format 3\0"
#: Stands in each private key in PEM or OpenSSH form (RFC 7468 §10, §11, §13).
_PRIVATE_KEY = b"PRIVATE KEY-----"


class AttachedFiles:
    """The files of a campaign's folder.

    Args:
        root: the folder.
        recipients: the CSV, which is never attached.
        limit: a file of more bytes is refused.
    """

    def __init__(self, root: Path, *, recipients: Path, limit: int) -> None:
        self._root = root
        self._recipients = recipients
        self._limit = limit

    def exists(self, name: str) -> bool:
        """Return whether there is something at a path in the folder, whatever it is.

        Raises:
            RowError: the path leads out of the folder.
        """
        try:
            self._inside(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            pass  # reading it says why it cannot be read
        return True

    def require(self, name: str) -> None:
        """Check that a file can be attached, without reading all of it.

        Raises:
            RowError: see `read`.
        """
        with self._opened(name):
            pass

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Args:
            name: the path, relative to the folder.

        Raises:
            RowError: the file does not exist, cannot be read, is too large, or must not be attached.
        """
        with self._opened(name) as file:
            return self._content(file, name)

    def path_of(self, name: str) -> str:
        """Return a file's path for error texts."""
        return str(self._root / name)

    @contextmanager
    def _opened(self, name: str) -> Iterator[FileIO]:
        path = self._inside(name)
        try:
            # `stat` comes before `open`, which can have an effect on a device; O_NONBLOCK lets no named pipe block
            regular = stat.S_ISREG(path.stat().st_mode)
            if regular:
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise RowError(f"{self.path_of(name)}: The file to attach does not exist; put it there.") from None
        except OSError as error:
            raise RowError(
                f"{self.path_of(name)}: The file to attach cannot be read ({error.strerror}); make it readable."
            ) from None
        if not regular:
            raise RowError(f"{self.path_of(name)}: Only a regular file can be attached, and this is none.")
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise RowError(f"{self.path_of(name)}: Only a regular file can be attached, and this is none.")
            if self._is_recipients(about):
                raise RowError(f"{self.path_of(name)}: This is the CSV with all recipients; it stays here.")
            if about.st_size > self._limit:
                raise self._too_large(name, about.st_size)
            yield file

    def _content(self, file: FileIO, name: str) -> bytes:
        content = bytearray()
        try:
            # one more byte than is allowed shows that the file has grown
            while more := file.read(self._limit + 1 - len(content)):
                content += more
        except OSError as error:
            raise RowError(f"{self.path_of(name)}: Reading failed ({error.strerror}).") from None
        if len(content) > self._limit:
            raise self._too_large(name, len(content))
        if content.startswith(_SQLITE) or _PRIVATE_KEY in content:
            raise self._private(name)
        return bytes(content)

    def _inside(self, name: str) -> Path:
        """Return the real path of a file.

        Raises:
            RowError: it is not below the folder, or its name says that it is private.
        """
        try:
            check_path(name)
            path = (self._root / name).resolve()
            real = path.relative_to(self._root.resolve())
            check_path(real.as_posix())
        except (OSError, RuntimeError, ValueError):  # RuntimeError: symbolic links in a circle, before Python 3.13
            raise RowError(
                f"{shown(name)} is not the path of a visible file in the campaign's folder, {self._root}; correct it."
            ) from None
        if any(PurePosixPath(each).suffix.lower() in _PRIVATE for each in (name, real.as_posix())):
            raise self._private(name)
        return path

    def _is_recipients(self, about: os.stat_result) -> bool:
        try:
            csv = self._recipients.stat()
        except OSError:
            return False
        return (csv.st_dev, csv.st_ino) == (about.st_dev, about.st_ino)

    def _too_large(self, name: str, size: int) -> RowError:
        return RowError(
            f"{self.path_of(name)}: The file has {size_text(size)}, and the attachments of a mail at most "
            f"{size_text(self._limit)}; make it smaller, link to it, or raise [limits] attachments."
        )

    def _private(self, name: str) -> RowError:
        return RowError(f"{self.path_of(name)}: Keys, settings and databases are not attached; name another file.")
