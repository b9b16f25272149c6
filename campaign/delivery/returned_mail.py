"""Act on the reports of a bounce mailbox, each once and only for a true tag: `act_on`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from campaign.bounces import read_reports
from campaign.bounces.report import Kind
from campaign.model import Receipt, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.bounces.counts import Counts
    from campaign.bounces.report import Report
    from campaign.config.imap_url import ImapServer
    from campaign.sendlog import ReturnedMail, ReturnedMessage

#: The kinds of report that change something.
_ACTED_UPON = frozenset({Kind.HARD, Kind.SOFT, Kind.REJECTED, Kind.COMPLAINT})
#: The kinds that make a row `bounced`, which only `sent` and `uncertain` become.
_LEAVES_SENT = frozenset({Kind.HARD, Kind.REJECTED})


def act_on(source: str | ImapServer, log: ReturnedMail, counts: Counts) -> None:
    """Read a bounce mailbox and record what it reports, in `counts` too; what is forged or foreign changes nothing.

    Args:
        source: a Maildir, an mbox, `-`, or an IMAP mailbox.
        log: the send log; each report is a transaction of its own.
        counts: has what was recorded also when the source fails halfway.

    Raises:
        CannotStartError: the source is not what it should be, or changed while it was read.
        ServiceRefusesError: the IMAP server cannot be reached, or refuses.
        SendLogError: the log cannot be written.
    """
    with closing(read_reports(source)) as reports:
        for number, report in reports:
            if log.is_known(number):
                counts.add_repeated()
                continue
            message = log.message_of(report.tags)
            if message is not None:
                report = report.about(message.email)  # noqa: PLW2901 - the part about our recipient
                if report.kind in _LEAVES_SENT and message.is_last and message.state == Status.SENDING:
                    # the run's reply, or after a crash the next run's recovery, is written first
                    counts.add_early()
                    continue
            counts.add(report, is_ours=message is not None)
            if message is not None and report.kind in _ACTED_UPON:
                _RECORD[report.kind](log, number, message, report)


def _returned(log: ReturnedMail, number: str, message: ReturnedMessage, report: Report) -> None:
    words = _words(report)
    log.bounced(number, message, f"returned: {words}", words, suppress=report.kind is Kind.HARD)


def _for_now(log: ReturnedMail, number: str, message: ReturnedMessage, report: Report) -> None:
    log.came_back_for_now(number, message, _words(report))


def _complaint(log: ReturnedMail, number: str, message: ReturnedMessage, report: Report) -> None:
    log.complained(number, message, _words(report))


_RECORD: dict[Kind, Callable[[ReturnedMail, str, ReturnedMessage, Report], None]] = {
    Kind.HARD: _returned,
    Kind.REJECTED: _returned,
    Kind.SOFT: _for_now,
    Kind.COMPLAINT: _complaint,
}


def _words(report: Report) -> Receipt:
    return Receipt(report.code, report.status, report.words)
