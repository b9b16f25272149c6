"""Store the mail that the sandbox accepts: messages unchanged in a Maildir, envelopes in the database: `Mailbox`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from itertools import count
from typing import TYPE_CHECKING

from campaign.sandbox.folder import private_folder

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from email.message import Message
    from pathlib import Path

    from campaign.sandbox.database import Database


@dataclass(frozen=True, slots=True)
class Mail:
    """One message's envelope, and its headers for a list of mails."""

    #: Mails are numbered in the order of arrival.
    number: int
    #: The file name in the Maildir.
    name: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    #: The List-Id header, which names the campaign; may be empty.
    list_id: str
    #: Bytes.
    size: int
    #: Milliseconds since the epoch.
    received_at: int


class Mailbox:
    """A Maildir that `mailbox.Maildir`, mutt and others can read, and the SMTP envelope of each message.

    Attributes:
        folder: the Maildir.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self._database = database
        self._serial = count()
        for part in (folder, folder / "tmp", folder / "new", folder / "cur"):
            private_folder(part)

    def store(self, content: bytes, *, sender: str, recipients: Sequence[str]) -> str:
        """Store a message with its envelope, and return its file name in the Maildir."""
        name = self._new_name()
        draft = self.folder / "tmp" / name
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        draft.rename(self.folder / "new" / name)
        headers = BytesHeaderParser().parsebytes(content.partition(b"\r\n\r\n")[0])
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO mails (name, sender, recipients, subject, list_id, size, received_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    name,
                    sender,
                    json.dumps(list(recipients), ensure_ascii=False),
                    _decoded(headers, "Subject"),
                    _decoded(headers, "List-Id"),
                    len(content),
                    self._database.now(),
                ),
            )
        return name

    def find(self, *, address: str = "", list_id: str | None = None, limit: int = 50, offset: int = 0) -> list[Mail]:
        """Return mails, newest first, optionally only those with `address` in a recipient or with this `list_id`."""
        return [
            _mail(row)
            for row in self._database.all(
                "SELECT * FROM mails WHERE (?1 = '' OR instr(lower(recipients), lower(?1)))"
                " AND (?2 IS NULL OR list_id = ?2) ORDER BY number DESC LIMIT ?3 OFFSET ?4",
                address,
                list_id,
                limit,
                offset,
            )
        ]

    def get(self, number: int) -> Mail | None:
        """Return the mail with this number."""
        row = self._database.one("SELECT * FROM mails WHERE number = ?", number)
        return None if row is None else _mail(row)

    def content(self, mail: Mail) -> bytes | None:
        """Return a message exactly as received, or None if it is no longer in the Maildir."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "new" / mail.name).read_bytes()
        # Mail programs move a message that was read to `cur` and append flags to its name.
        for seen in (self.folder / "cur").glob(f"{mail.name}*"):
            with contextlib.suppress(FileNotFoundError):
                return seen.read_bytes()
        return None

    def campaigns(self) -> list[tuple[str, int]]:
        """Return each List-Id with the number of its mails; the one with the newest mail comes first."""
        rows = self._database.all("SELECT list_id, count(*) FROM mails GROUP BY list_id ORDER BY max(number) DESC")
        return [(row[0], row[1]) for row in rows]

    def last_number(self) -> int:
        """Return the number of the newest mail, 0 if there is none."""
        row = self._database.one("SELECT coalesce(max(number), 0) FROM mails")
        return int(row[0]) if row else 0

    def defer(self, address: str, *, times: int) -> bool:
        """Return whether to defer the address once more, and count the deferral."""
        with self._database.transaction() as connection:
            return (
                connection.execute(
                    "INSERT INTO deferrals VALUES (?1, 1)"
                    " ON CONFLICT (folded) DO UPDATE SET times = times + 1 WHERE times < ?2",
                    (address.lower(), times),
                ).rowcount
                == 1
            )

    def taken(self, address: str) -> None:
        """Reset the address's count of deferrals."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM deferrals WHERE folded = ?", (address.lower(),))

    def _new_name(self) -> str:
        host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
        return f"{time.time():.6f}.{os.getpid()}_{next(self._serial)}.{host}"


def _decoded(headers: Message, name: str) -> str:
    written = str(headers.get(name, ""))
    try:
        decoded = str(make_header(decode_header(written)))
    except (HeaderParseError, LookupError, ValueError):
        decoded = written
    return " ".join(decoded.split())


def _mail(row: sqlite3.Row) -> Mail:
    return Mail(
        number=row["number"],
        name=row["name"],
        sender=row["sender"],
        recipients=tuple(json.loads(row["recipients"])),
        subject=row["subject"],
        list_id=row["list_id"],
        size=row["size"],
        received_at=row["received_at"],
    )
