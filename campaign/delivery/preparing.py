"""Prepare a run: enlist the CSV, and refuse what would mail the wrong rows: `prepare`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.audience import Audience
from campaign.clock import ServerClock, instant
from campaign.config.definition.waitlist_keys import WaitlistKeys
from campaign.delivery.observer import Plan
from campaign.delivery.services import needs_user_id
from campaign.errors import CannotStartError, RecipientsError
from campaign.message.dry_run import checked_rows
from campaign.recipients import fingerprint, read_recipients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from campaign.clock import Clock
    from campaign.config.definition import Definition
    from campaign.delivery.services import Services
    from campaign.message.variants import CampaignMessages
    from campaign.model import InvalidRow, Recipient
    from campaign.sendlog import PreparationLog, Recovered

#: Two machines' clocks, or one before and after NTP, may differ by this much (seconds).
_MAX_CLOCK_DIFFERENCE_S = 60.0
#: By how much the clock of a machine may differ from that of the log's server before the operator is told (seconds).
_MAX_MACHINE_ERROR_S = 5.0


def prepare(
    log: PreparationLog,
    definition: Definition,
    messages: CampaignMessages,
    services: Services,
    *,
    recovered: Recovered,
    limit: int | None,
    stays_until: float,
    is_stopped: Callable[[], bool] | None = None,
) -> Plan:
    """Make every row of the CSV durable, each of them rendered once, before anything is asked for.

    Args:
        log: the send log, held.
        definition: the campaign file.
        messages: render the rows.
        services: for the plan.
        recovered: what a crashed run left, for the plan: `log.recover` is called while nothing is under way, and this
            may be called while another campaign of the log is sent.
        limit: the most new recipients of this run; None for all.
        stays_until: the run stays for what becomes due until this instant (seconds since the epoch).
        is_stopped: asked at each row; if it returns True, nothing is enlisted.

    Raises:
        CannotStartError: another campaign file has the same name in this log.
        RecipientsError: the CSV cannot be used, or changed while it was read; nothing is enlisted.
    """
    _require_own_name(log, definition)
    section, audience = definition.recipients, Audience(definition)
    with_id = needs_user_id(definition)
    unread = {"file", "verify_address", "batch", "holdout", *WaitlistKeys.model_fields}
    reading = section.model_dump_json(exclude=unread)
    reading += "".join(each.link.org_id for each in definition.variants if each.link and each.link.org_id)
    bytes_before = fingerprint(section.file)

    def rows() -> Iterator[Recipient | InvalidRow]:
        read = read_recipients(section.file, section, needs_user_id=with_id)
        checked = checked_rows(audience.select(read), messages, section.file)
        yield from checked if is_stopped is None else _until_stopped(checked, section.file, is_stopped)
        if fingerprint(section.file) != bytes_before:
            raise RecipientsError(
                f"{section.file}: the file changed while it was read, so nothing was enlisted or sent. Write a new CSV "
                "under another name first and then rename it; run the same command again."
            )

    with log.preparing():
        enlistment = log.enlist(
            rows,
            source=str(section.file.resolve()),
            digest=f"{bytes_before} {messages.fingerprint} {with_id} {reading}{audience.fingerprint}",
            steps=definition.step_names,
            in_batches=limit is not None,
        )
        changed = log.templates not in {"", messages.fingerprint}
        log.note_templates(messages.fingerprint)
        log.note_list(definition.mailing_list)
        log.note_cap(definition.limits.per_recipient)
        suppressed = log.skip_suppressed()
        holdout = log.hold_out(section.holdout, in_batches=limit is not None)
        log.release_steps()
        counts = log.summary()
    return Plan(
        definition,
        services,
        recovered,
        enlistment,
        changed,
        suppressed,
        counts,
        outside=audience.sentence,
        limit=limit,
        stays_until=stays_until,
        holdout=holdout,
    )


def resume(log: PreparationLog, definition: Definition) -> bool:
    """Go on with the rows that were enlisted last, since the CSV cannot be read now; return False if there are none.

    Nobody has left a list that cannot be read.
    """
    if not log.resume(definition.step_names):
        return False
    log.note_list(definition.mailing_list)
    log.note_cap(definition.limits.per_recipient)
    log.skip_suppressed()
    log.release_steps()
    return True


def clock_notice(log: PreparationLog, clock: Clock) -> str:
    """Return what is to be said of the clocks: this machine's is not that of the log's server, or the log is ahead.

    A log that is ahead spends its limits as of now: what it has of the future counts as sent just now.
    """
    whose, told = "this machine's clock", []
    if isinstance(clock, ServerClock):
        whose, wrong = "the clock of its server", clock.machine_ahead_s
        if abs(wrong) > _MAX_MACHINE_ERROR_S:
            where = "ahead of" if wrong > 0 else "behind"
            told.append(
                f"This machine's clock is {abs(wrong):,.0f} seconds {where} that of the send log's server, which all "
                "times of this run follow. Correct it; on Linux type: timedatectl set-ntp true"
            )
    if log.latest() - clock.now() > _MAX_CLOCK_DIFFERENCE_S:
        told.append(
            f"The send log has entries of {instant(log.latest()):%Y-%m-%d %H:%M UTC}, and {whose} says "
            f"{instant(clock.now()):%Y-%m-%d %H:%M UTC}: it was set back, or was ahead before. Due times follow this "
            "clock, and the limits count those entries as sent just now. If the clock is wrong, stop and correct it"
        )
    return ". ".join(told)


def _until_stopped(
    rows: Iterable[Recipient | InvalidRow], file: Path, is_stopped: Callable[[], bool]
) -> Iterator[Recipient | InvalidRow]:
    for row in rows:
        if is_stopped():
            raise RecipientsError(f"{file}: the reading was stopped; nothing was enlisted.")
        yield row


def _require_own_name(log: PreparationLog, definition: Definition) -> None:
    """Note the campaign file in the log; refuse another file that has taken the same name.

    A file that was moved, or that has another name now, is no longer at its old path under this name.

    Raises:
        CannotStartError: both files are there.
    """
    path, known = definition.path.resolve(), log.file
    if known and known != str(path) and _name_in(Path(known)) == definition.name and not path.samefile(known):
        raise CannotStartError(
            f"the send log already has the campaign {definition.name!r} of another file, {known}. The recipients of "
            f"one would count as mailed by the other. Give {definition.path} another name (the line name = … at its "
            "top), or remove the other file if this one replaces it."
        )
    if known != str(path):
        log.note_file(str(path))


def _name_in(path: Path) -> str:
    """Return the name of the campaign in a file; empty if there is no such file."""
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8")).get("name", ""))
    except (OSError, ValueError):
        return ""
