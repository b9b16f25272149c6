"""`campaign bounces`: read returned mail and complaints, and act on them."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

import click

from campaign.cli.group import DONE, FILE, SANDBOX, UNFINISHED, awaited, commands, loaded, say
from campaign.errors import SettingsError


@commands.command()
@FILE
@click.argument("source", required=False)
@SANDBOX
def bounces(file: Path, source: str | None, *, sandbox: bool) -> None:
    """Read returned mail and complaints, and act on them.

    SOURCE is a Maildir, an mbox or - for standard input; without it the mailbox of CAMPAIGN_IMAP_URL is read. Nothing
    is changed there, and each report counts once.
    """
    from campaign.bounces.counts import Counts  # noqa: PLC0415
    from campaign.delivery.operator_commands import settle_if_free  # noqa: PLC0415
    from campaign.delivery.returned_mail import act_on  # noqa: PLC0415
    from campaign.delivery.services import clock_of, log_path  # noqa: PLC0415
    from campaign.reporting.summary import number  # noqa: PLC0415
    from campaign.sendlog import ReturnedMail  # noqa: PLC0415

    definition, settings = loaded(file)
    mailbox = source or settings.imap
    if mailbox is None:
        raise SettingsError(
            "CAMPAIGN_IMAP_URL is not set: set it to the bounce mailbox, such as "
            "imaps://user:password@imap.example.com/INBOX, or name a Maildir, an mbox or -."
        )
    counts, path = Counts(), log_path(settings, definition, asked=sandbox)
    try:
        with ReturnedMail(path, clock_of(settings, path)) as log:
            act_on(mailbox, log, counts)
    finally:
        rows = [(name, count, meaning) for name, count, meaning in counts.rows() if count]
        say(f"{name:<16}{count:>8,}  {meaning}" for name, count, meaning in rows)
    if not rows:
        say(["The mailbox is empty."])
    pending = awaited(settle_if_free(definition, settings, sandbox=sandbox))
    if pending:
        say([f"Clerk has not confirmed {number(pending, 'revocation')} yet; the next run tries again."])
    raise SystemExit(UNFINISHED if counts.needs_a_look or pending else DONE)
