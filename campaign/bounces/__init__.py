"""Read bounces and complaints out of a mailbox, without changing it and without acting on them: `read_reports`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from campaign.bounces.mailboxes import read_mails
from campaign.bounces.reports import parse_report

if TYPE_CHECKING:
    from collections.abc import Generator

    from campaign.bounces.report import Report
    from campaign.config.imap_url import ImapServer


def read_reports(source: str | ImapServer) -> Generator[tuple[str, Report], None, None]:
    """Yield the id and the report of each mail of a Maildir, an mbox, `-` (standard input) or an IMAP mailbox.

    The source stays as it is, so a caller keeps the ids in order to act on each report once: the id is the same
    whenever and from wherever a mail is read. Calls block; an event loop runs them in a thread.

    Raises:
        CannotStartError: the source is not what it should be, or changed while it was read. Reports that were yielded
            before are valid.
        ServiceRefusesError: the IMAP server cannot be reached, or refuses.
    """
    with closing(read_mails(source)) as mails:
        for mail in mails:
            yield mail.id, parse_report(mail.raw)
