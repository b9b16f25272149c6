"""The texts before and after a run: `changes` since the last run, `table` of counts, `advice` on what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from campaign.delivery.sandbox_time import shown_instant
from campaign.model import Status
from campaign.reporting.causes import MAX_NAMED
from campaign.reporting.later import later
from campaign.words import printable

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.delivery.observer import Plan
    from campaign.delivery.services import Services
    from campaign.reporting.causes import Cause
    from campaign.sendlog import Holdout, Summary

#: The meaning of each state, as the closing table shows it.
MEANING = {
    Status.QUEUED: "not sent yet",
    Status.ISSUING: "its token is being requested",
    Status.SENDING: "on its way to the mail server",
    Status.SENT: "the mail server accepted it",
    Status.FAILED: "will not be sent; its token is revoked",
    Status.UNCERTAIN: "may have been sent: the server's reply was lost",
    Status.SKIPPED: "not to be sent",
    Status.BOUNCED: "accepted, and later returned; its token is revoked",
}

#: At most this many causes are shown for each state.
_MAX_CAUSES = 8
_STYLE = {
    Status.SENT: "green",
    Status.FAILED: "red",
    Status.UNCERTAIN: "yellow",
    Status.SKIPPED: "dim",
    Status.BOUNCED: "red",
}


def number(count: int, noun: str) -> str:
    """Return `1 recipient`, `2,000 recipients`, `2 addresses`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"


def has_earlier_run(plan: Plan) -> bool:
    """Return whether the send log had recipients of this campaign before this run."""
    new = plan.enlistment
    return plan.summary.recipients > new.added + new.invalid + new.duplicates


def beginning(services: Services, *, is_watch: bool = False) -> str:
    """Return the sentence about a sandbox that is not at the present: what time it is there, and why."""
    now, speed = shown_instant(services.clock.now()), services.clock.speed
    if services.is_simulation:
        passes = f", and time passes {speed:,.6g} times as fast as here" if speed != 1 else ""
        stays = "" if is_watch else " Without --no-wait the run stays until its last message."
        return f"In the sandbox it is {now}{passes}.{stays}"
    return f"In the sandbox it is {now}, where an earlier run ended; --fresh starts afresh in the present."


def changes(plan: Plan) -> list[str]:
    """Return one sentence for each difference from the last run and each kind of CSV row that is not used."""
    enlistment, recovered, summary = plan.enlistment, plan.recovered, plan.summary
    section = plan.definition.recipients
    inside = " inside `where`" if section.where else ""
    new = enlistment.added if has_earlier_run(plan) else 0
    sentences = [
        (recovered.uncertain, "message", "The last run was interrupted. {} may or may not have been sent."),
        (recovered.orphans, "token", "The last run was interrupted. {} may exist at Clerk without a known id."),
        (new, "recipient", f"{section.file}: {{}} added since the last run."),
        (
            enlistment.changed,
            "row",
            f"{section.file}: {{}} changed before the mail was sent; the new data applies.",
        ),
        (
            enlistment.changed_late,
            "row",
            f"{section.file}: {{}} changed after the mail was sent; the change has no effect.",
        ),
        (
            enlistment.invalid,
            "row",
            f"{section.file}: {{}} skipped as invalid; the reasons are in the table at the end.",
        ),
        (
            enlistment.duplicates,
            "row",
            f"{section.file}: {{}} skipped, because an earlier row has the same {section.key}.",
        ),
        (
            enlistment.shared_addresses,
            "address",
            f"{section.file}: {{}} with several values of {section.key}; a mail is sent for each value.",
        ),
        (
            plan.suppressed,
            "recipient",
            "{} skipped, because the address is suppressed: someone unsubscribed, complained or is gone.",
        ),
        (
            summary.elsewhere,
            "recipient",
            "{} will stay queued: they left the waitlist, or have another status there."
            if section.clerk
            else f"{{}} of an earlier CSV will stay queued, because {section.file} has no such row{inside}.",
        ),
    ]
    lines = [sentence.format(number(count, noun)) for count, noun, sentence in sentences if count]
    lines += holdout_lines(plan.holdout)
    if section.create_users:
        lines.append("A Clerk user is made for each entry that has none, just before its link is.")
    if plan.outside:
        lines.insert(0, f"{section.file}: {plan.outside}")
    if plan.definition.unsubscribe is None:
        lines.append(
            "The mails have no unsubscribe link, which mail providers ask bulk senders for: add [unsubscribe] with a "
            'url, or with none = "transactional".'
        )
    if plan.templates_changed:
        lines.insert(0, "The templates changed since the last run: recipients that are still queued get the new ones.")
    return lines


def holdout_lines(holdout: Holdout) -> list[str]:
    """Return how many recipients are held out, and what a change of the share did."""
    lines = []
    share = f"{holdout.share:g}%"
    if holdout.is_changed:
        line = f"holdout was {holdout.share_before:g}%, {f'and is {share} now' if holdout.share else 'and is gone'}: "
        if holdout.share > holdout.share_before:
            line += "whoever was held out before still is"
        else:
            line += f"{number(holdout.released, 'recipient')} held out before will be mailed"
        if holdout.mailed:
            line += f"; {number(holdout.mailed, 'recipient')} it would hold out got mail before, so they are not"
        lines.append(f"{line}.")
    if holdout.share:
        new = f" ({holdout.added:,} of them new)" if 0 < holdout.added < holdout.held else ""
        lines.append(
            f"{number(holdout.held, 'recipient')} held out{new}, about {share}, and never mailed: `campaign results` "
            "compares them with the others."
        )
    return lines


def table(summary: Summary, causes: list[Cause]) -> Table:
    """Return the closing table: one row per state, followed by the causes, each with its first rows."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("state")
    shown.add_column("number", justify="right")
    shown.add_column("what it means", overflow="fold")
    for status in Status:
        if not summary[status]:
            continue
        shown.add_row(str(status), f"{summary[status]:,}", MEANING[status], style=_STYLE.get(status))
        found = [cause for cause in causes if cause.state is status]
        for cause in found[:_MAX_CAUSES]:
            shown.add_row("", "", f"  {escape(printable(_told(cause)))}")
        if others := sum(cause.number for cause in found[_MAX_CAUSES:]):
            shown.add_row("", "", f"  {others:,} for other reasons")
    if summary.steps:
        shown.add_row("mails", f"{summary.deliveries:,}", "one for each recipient and step", style="bold")
    shown.add_row("recipients", f"{summary.recipients:,}", "", style="bold")
    return shown


def _told(cause: Cause) -> str:
    """Return a cause as the table shows it: `50 times: mailbox full (ada@example.com, bob@example.com, …)`."""
    if cause.number == 1:
        return cause.words
    if not cause.named:  # the same for all rows of the state, such as a mail server that cannot be reached
        return f"{cause.number:,} times: {cause.words}"
    more = ", …" if cause.number > len(cause.named) >= MAX_NAMED else ""
    return f"{cause.number:,} times: {cause.words} ({', '.join(cause.named)}{more})"


def advice(summary: Summary, *, command: str, run: str) -> list[str]:
    """Return a sentence for each thing that needs a decision, with the command to type.

    Args:
        summary: the counts.
        command: the end of the command line for any command: the campaign file as typed, with its options.
        run: the same for `campaign run`.
    """
    row = "mail" if summary.steps else "recipient"
    until = summary.orphans_until.strftime("%Y-%m-%d %H:%M UTC") if summary.orphans_until else ""
    sentences = [
        (
            summary[Status.UNCERTAIN],
            row,
            (
                f"{{}} uncertain. To mark them as sent: campaign resolve {command} --keep. "
                f"To revoke their links and send again: campaign resolve {command} --resend."
            ),
        ),
        (summary[Status.FAILED], row, f"{{}} failed. To queue them again: campaign retry {command}."),
        (
            summary[Status.QUEUED] - summary.elsewhere - later(summary),
            row,
            f"{{}} queued. To send: campaign run {run}.",
        ),
        (
            summary.elsewhere,
            row,
            (
                "{} queued by an earlier CSV. To send: run with --recipients and that CSV. "
                f"To send nothing to them: campaign skip {command} --missing."
            ),
        ),
        (
            summary.orphans,
            "token",
            f"{{}} without a known id may exist at Clerk until {until}, because an answer was lost.",
        ),
        (
            summary.users_unanswered,
            "user",
            f"{{}} may have been made at Clerk: its answer was lost. To find out: campaign run {run}.",
        ),
        (summary.revocations, "token", f"{{}} not revoked yet. To try again: campaign run {run}."),
        (
            summary.used_before_revoked,
            "token",
            ("ALARM: {} already used at revocation: an unintended person may have signed in with the link."),
        ),
    ]
    return [sentence.format(number(count, noun)) for count, noun, sentence in sentences if count]


def where_the_mail_is(maildir: Path) -> str:
    """Return a sentence that says how to read the sandbox's mail, and in which folder it is."""
    return f"To read the mail and follow its links: campaign sandbox (the mail is in {maildir}/new)."


def span(seconds: float) -> str:
    """Return `0:42`, `12:05`, `3:10:00`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
