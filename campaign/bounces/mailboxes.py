"""Read the mails of a Maildir, an mbox, standard input or an IMAP mailbox, and change nothing there: `read_mails`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from campaign.bounces.imap import fetch_mails
from campaign.bounces.reports import MAX_MAIL
from campaign.config.imap_url import ImapServer
from campaign.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

STANDARD_INPUT = "-"
#: Bytes that identify a mail: half of what is read, so that CRLF or LF as line end makes no difference.
_IDENTIFYING = MAX_MAIL // 2
#: Bytes of a line that are read at once.
_MAX_LINE = 2**16
# RFC 4155: `From `, the sender and the date. A line of a text that begins with "From " has no time and year.
_SEPARATOR = re.compile(rb"From \S.*\d\d:\d\d.*\b\d{4}\b")
_MAX_SEPARATOR = 500
#: RFC 5322 §2.2: the name of a header field.
_FIELD = re.compile(rb"[!-9;-~]{1,200}[ \t]*:")
_QUOTED_FROM = re.compile(rb">+From ")


@dataclass(frozen=True, slots=True)
class StoredMail:
    """One mail of a source."""

    #: SHA-256 of the mail's first 512 kB, as hex digits; the same in a Maildir, an mbox and over IMAP.
    id: str
    #: At most the first MB.
    raw: bytes


def read_mails(source: str | ImapServer) -> Generator[StoredMail, None, None]:
    """Yield each mail of a source, of a long one its first MB; memory use does not depend on the source's size.

    Raises:
        CannotStartError: the source does not exist, is no Maildir, mbox or mail, cannot be read, or changed while it
            was read.
        ServiceRefusesError: the IMAP server cannot be reached, or refuses.
    """
    if isinstance(source, ImapServer):
        mails = fetch_mails(source, MAX_MAIL)
    elif source == STANDARD_INPUT:
        mails = _standard_input()
    else:
        mails = _stored(Path(source))
    with closing(mails):
        for raw in mails:
            plain = raw.replace(b"\r\n", b"\n")
            yield StoredMail(hashlib.sha256(plain[:_IDENTIFYING]).hexdigest(), raw)


def _stored(path: Path) -> Generator[bytes, None, None]:
    try:
        if path.is_dir():
            yield from _maildir(path)
        elif path.is_file():
            yield from _mbox_file(path)
        elif path.exists():
            raise CannotStartError(f"{path} is neither a Maildir nor an mbox file; give a folder or a regular file")
        else:
            raise CannotStartError(f"{path} does not exist; give a Maildir, an mbox file, or - for standard input")
    except OSError as error:
        raise CannotStartError(f"{error.filename or path} cannot be read: {error.strerror}") from None


def _maildir(path: Path) -> Iterator[bytes]:
    """Yield the mails of `new`, then of `cur`: a mail that a reader moves meanwhile moves in this direction."""
    folders = [path / "new", path / "cur"]
    if not all(folder.is_dir() for folder in folders):
        raise CannotStartError(
            f"{path} is no Maildir: it has no folders new and cur; give the folder that contains them, or an mbox file"
        )
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.is_file():
                    continue
                try:
                    with Path(entry.path).open("rb") as file:
                        mail = file.read(MAX_MAIL)
                except FileNotFoundError:
                    # Moved to `cur`, where it comes next, or deleted.
                    continue
                yield mail


def _mbox_file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        _refuse_while_written(file, path)
        before = os.fstat(file.fileno())
        first = file.readline(_MAX_LINE)
        if first and not first.startswith(b"From "):
            raise CannotStartError(
                f"{path} is no mbox: it does not begin with a line `From …`; for a single mail type - and < {path}"
            )
        # Held back until the file is known to be as it was: the last mail may be half written.
        held: bytes | None = None
        for raw in _split_mbox(file, first, before.st_size):
            if held is not None:
                _require_unchanged(path, before, grown=True)
                yield held
            held = raw
        _require_unchanged(path, before, grown=False)
        if held is not None:
            yield held


def _refuse_while_written(file: IO[bytes], path: Path) -> None:
    """Raise if a mail server is writing to the mbox; where locks are not supported, nothing can be said."""
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotStartError(f"{path} is being written by another program; run the same command again") from None
    except OSError:
        return
    fcntl.lockf(file, fcntl.LOCK_UN)


def _require_unchanged(path: Path, before: os.stat_result, *, grown: bool) -> None:
    """Raise if the mbox is not as it was when reading began; `grown` allows that mails were added at its end."""
    now = path.stat()
    same_file = (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino)
    as_before = (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    if not same_file or not (as_before or (grown and now.st_size > before.st_size)):
        raise CannotStartError(
            f"{path} changed while it was read. What was read of it counts; run the same command again for the rest"
        )


def _standard_input() -> Generator[bytes, None, None]:
    if sys.stdin is None:
        raise CannotStartError("standard input is closed; pipe a mail or an mbox into the command")
    file = sys.stdin.buffer
    if file.isatty():
        raise CannotStartError("standard input is a terminal; pipe a mail or an mbox into the command")
    first = file.readline(_MAX_LINE)
    if first.startswith(b"From "):
        yield from _split_mbox(file, first)
    elif _FIELD.match(first):
        mail = first + file.read(MAX_MAIL - len(first))
        while file.read(_MAX_LINE):
            # Read on, so that the program at the other end of the pipe does not fail.
            continue
        yield mail
    elif first:
        raise CannotStartError("standard input is neither a mail nor an mbox: its first line is no header field")


def _split_mbox(file: IO[bytes], first: bytes, size: int | None = None) -> Iterator[bytes]:
    """Yield the mails of an mbox from its first line on, at most `size` bytes of it; `>From ` loses its quote."""
    left = sys.maxsize if size is None else size
    mail = bytearray()
    line, at_start, after_blank, open_mail = first, True, True, False
    while line:
        if at_start and after_blank and (not open_mail or _SEPARATOR.match(line[:_MAX_SEPARATOR])):
            if open_mail:
                yield _without_last_blank_line(mail)
                mail.clear()
            open_mail = True
        elif len(mail) < MAX_MAIL:
            mail += line[1:] if at_start and _QUOTED_FROM.match(line) else line
            del mail[MAX_MAIL:]
        left -= len(line)
        at_start, after_blank = line.endswith(b"\n"), at_start and line in {b"\n", b"\r\n"}
        line = file.readline(min(_MAX_LINE, left))
    if open_mail:
        yield _without_last_blank_line(mail)


def _without_last_blank_line(mail: bytearray) -> bytes:
    """Return a mail without the blank line that ends it in an mbox (RFC 4155)."""
    for end in (b"\r\n", b"\n"):
        if mail.endswith(end + end):
            return bytes(mail.removesuffix(end))
    return bytes(mail)
