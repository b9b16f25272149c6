"""Write the entries of Clerk's waitlist down as a CSV: `write_waitlist`."""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING

from campaign.clock import instant
from campaign.config.definition.waitlist_keys import WAITLIST_COLUMNS
from campaign.errors import RecipientsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from campaign.model import WaitlistRow


def write_waitlist(path: Path, rows: Iterable[WaitlistRow]) -> None:
    """Write a CSV that only its owner can read, whole or not at all.

    Raises:
        RecipientsError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(WAITLIST_COLUMNS)
    for row in rows:
        joined = "" if row.joined_at is None else instant(row.joined_at).isoformat()
        writer.writerow((row.address, row.id, joined))
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
        new.replace(path)
    except OSError as error:
        raise RecipientsError(
            f"{path}: Clerk's waitlist cannot be written down here ({error.strerror}); free disk space, or make the "
            "folder of the send log writable."
        ) from None
