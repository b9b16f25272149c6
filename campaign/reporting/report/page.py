"""Write the report of a campaign as one self-contained HTML page: `report_page`, for `campaign report`."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from campaign.delivery.services import clock_of, log_path, real_services, sandbox_log
from campaign.model import Status
from campaign.reporting.old_log import old_log_notice
from campaign.reporting.report import charts, units
from campaign.reporting.report.came_back import came_back
from campaign.reporting.report.charts import Line, Series, Unit
from campaign.reporting.report.decisions import Decisions
from campaign.reporting.report.figures import figures
from campaign.reporting.report.limits import drawn
from campaign.reporting.report.parts import batch_rows, step_rows
from campaign.reporting.report.rendering import rendered
from campaign.reporting.summary import number as counted
from campaign.sendlog.aggregates import Aggregates

if TYPE_CHECKING:
    from typing import Any

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.model import Rate
    from campaign.reporting.report.figures import Activity, Figures
    from campaign.reporting.report.latency import LatencyFigures
    from campaign.sendlog import LogLocation
    from campaign.sendlog.aggregates import Domain

#: Marks a file as a report, which a newer report may overwrite; it stands at the beginning of the page.
MARK = '<meta name="generator" content="campaign report">'

#: With fewer slots no chart is drawn.
_MIN_SLOTS = 3
#: The states in display order, and what each of them means.
_MEANING = {
    Status.SENT: "the mail server accepted it",
    Status.UNCERTAIN: "may have been sent: the reply was lost",
    Status.FAILED: "refused, or no attempts left",
    Status.QUEUED: "not sent yet",
    Status.SENDING: "on its way to the mail server",
    Status.ISSUING: "its token is being requested",
    Status.SKIPPED: "not to be sent",
    Status.BOUNCED: "accepted, and later returned",
}
#: The outcomes of one attempt.
_BECAME = {
    Status.SENT: "accepted",
    Status.UNCERTAIN: "uncertain",
    Status.FAILED: "failed",
    Status.QUEUED: "deferred",
    Status.SKIPPED: "skipped",
    Status.BOUNCED: "failed",
}


def report_page(
    definition: Definition, settings: Settings, *, sandbox: bool, with_addresses: bool, command: str, out: str
) -> str:
    """Return the report as HTML.

    Args:
        definition: the campaign file.
        settings: the environment.
        sandbox: read the sandbox's log, whatever the settings say.
        with_addresses: show addresses, keys and user ids of the rows that need a decision.
        command: the campaign file and its options, as the operator types them.
        out: the path of the page as the operator typed it, for the command that writes it with addresses.

    Raises:
        SendLogUnusableError: there is no log, it cannot be read, or the campaign is not in it.
    """
    path = log_path(settings, definition, asked=sandbox)
    now = clock_of(settings, path).now()
    with Aggregates(path, definition.name, now=now) as log:
        found = figures(log, definition, _token_rates(definition, settings, path))
        decisions = Decisions(log, found, command=command, with_addresses=with_addresses)
        context = _context(found) | {
            "open": decisions.open(),
            "not_mailed": decisions.not_mailed(),
            "came_back": came_back(log, definition),
            "with_addresses": with_addresses,
            "list_command": f"campaign log {command}",
            "again": f"campaign report {command} --html {shlex.quote(out)} --with-addresses",
            "now": now,
            "log_name": path.name,
            "old_log": old_log_notice(settings, definition, sandbox=sandbox),
        }
    return rendered((resources.files(__package__) / "page.html").read_text("utf-8"), context)


def _token_rates(definition: Definition, settings: Settings, log: LogLocation) -> tuple[Rate, ...]:
    """Return Clerk's limit from the campaign file, else the one documented for the key; the sandbox has none."""
    if definition.limits.tokens is not None:
        return definition.limits.tokens
    known = settings.smtp is not None and settings.clerk_secret_key is not None
    return real_services(definition, settings).clerk_rates if known and log != sandbox_log(settings) else ()


def _context(found: Figures) -> dict[str, Any]:
    """Return the values that the template needs."""
    summary = found.summary
    states = _parts(summary.counts)
    activity, attempts = found.activity, found.attempts
    tried = [(tries, sum(by_state.values()), _parts(by_state)) for tries, by_state in attempts.items()]
    return {
        "summary": summary,
        "states": states,
        "meaning": {str(status): meaning for status, meaning in _MEANING.items()},
        "became": _BECAME,
        "verdict": _verdict(found),
        "source": Path(found.source).name,
        "period": _period(activity) if activity else "",
        "activity": activity,
        "paces": _paces(found, activity) if activity else [],
        "limits": found.limits,
        "domain_limits": any(limit.what not in {"messages", "tokens"} for limit in found.limits),
        "courses": _courses(found, activity) if activity else [],
        "domains": [_domain(domain) for domain in found.domains],
        "domain_note": _domain_note(found),
        "steps": [(row, _parts(row.counts)) for row in step_rows(summary.steps)],
        "batches": [(row, _parts(row.counts)) for row in batch_rows(found.batches)],
        "answers": found.answers,
        "all_answers": found.all_answers,
        "other_answering": found.answering - len(found.answers),
        "replies": found.replies,
        "attempts": tried,
        "most_tried": max((number for _, number, _ in tried), default=0),
        "attempt_states": _parts({s: sum(by.get(s, 0) for by in attempts.values()) for s in _MEANING}),
        "tokens": found.tokens,
        "token_parts": _token_parts(found),
    }


def _verdict(found: Figures) -> str:
    summary = found.summary
    first = next(iter(summary.steps.values()), summary.counts)
    sent, all_of_them = first.get(Status.SENT, 0), summary.recipients
    if not all_of_them:
        return "The log holds no recipient of this campaign."
    if sent == all_of_them:
        return f"All {sent:,} recipients were mailed." if sent > 1 else "The one recipient was mailed."
    return f"{sent:,} of {all_of_them:,} recipients were mailed."


def _period(activity: Activity) -> str:
    time = activity.timeline
    return units.period(time.starts_at(time.stretches[0].first), time.starts_at(time.stretches[-1].last + 1))


def _paces(found: Figures, activity: Activity) -> list[tuple[str, str, list[tuple[str, str]], Markup, Any]]:
    """Return (title, what is counted, figures, chart, legend) for messages and for tokens."""
    time = activity.timeline
    order = (Status.SENT, Status.QUEUED, Status.FAILED, Status.UNCERTAIN)
    messages = [Series(_BECAME[state], str(state), activity.messages.get(state, {})) for state in order]
    tokens = [
        Series("issued", "clerk", activity.tokens.get(True, {})),
        Series("not issued", "queued", activity.tokens.get(False, {})),
    ]
    paces = []
    for title, what, series, about in (
        (
            "Messages",
            "messages",
            messages,
            "{} handed over, by outcome; earlier refusals are not counted",
        ),
        ("Tokens", "tokens", tokens, "{} requested"),
    ):
        highest = charts.peak(time, series)
        if not highest:
            continue
        unit = Unit.of(highest)
        lines = [
            Line(f"limit {limit.rate}", limit.rate.per_second)
            for limit in found.limits
            if limit.what == what and drawn(limit.rate)
        ]
        number = sum(sum(each.numbers.values()) for each in series)
        busy = sum(any(each.numbers.get(slot) for each in series) for slot in time.slots()) * time.width
        told = [
            ("Peak", units.rate(highest * unit.seconds)),
            ("Mean while busy", units.rate(number / busy * unit.seconds)),
            ("Busy for", units.lasting(busy)),
        ]
        chart = (
            charts.stacked_rate_chart(time, series, lines, unit=unit, what=title)
            if len(time) >= _MIN_SLOTS
            else Markup()
        )
        legend = [(each.look, each.name, sum(each.numbers.values())) for each in series]
        paces.append((f"{title} a {unit.name}", about.format(counted(number, what[:-1])), told, chart, legend))
    return paces


def _courses(found: Figures, activity: Activity) -> list[tuple[str, str, str, str, LatencyFigures, Markup]]:
    services = [
        ("Clerk", "clerk", "Tokens", "From the request for a token to its receipt", found.clerk),
        ("Mail server", "mail", "Messages", "From the intent in the log to the reply to the message", found.mail),
    ]
    return [
        (name, look, what, measured, numbers, _course(activity, numbers, look, name))
        for name, look, what, measured, numbers in services
        if numbers.number
    ]


def _course(activity: Activity, numbers: LatencyFigures, look: str, name: str) -> Markup:
    if len(activity.timeline) < _MIN_SLOTS:
        return Markup()
    return charts.latency_chart(activity.timeline, numbers, look=look, what=f"Latency of {name} over time")


def _domain(domain: Domain) -> tuple[str, int, list[tuple[str, str, int]], list[tuple[str, int]]]:
    by_state = {
        Status.SENT: domain.sent,
        Status.BOUNCED: domain.bounced,
        Status.UNCERTAIN: domain.uncertain,
        Status.FAILED: domain.failed,
        Status.QUEUED: domain.waiting,
        Status.SKIPPED: domain.skipped,
    }
    cells = [
        ("sent", domain.sent),
        ("bounced", domain.bounced),
        ("failed", domain.failed),
        ("uncertain", domain.uncertain),
        ("skipped", domain.skipped),
        ("tried again", domain.again),
    ]
    return domain.name, sum(by_state.values()), _parts(by_state), cells


def _domain_note(found: Figures) -> str:
    others = found.domain_count - len(found.domains)
    return (
        f"These are the largest domains and those with the most problems; {others:,} others are not shown."
        if others
        else ""
    )


def _parts(by_state: Any) -> list[tuple[str, str, int]]:  # noqa: ANN401 - any mapping
    return [(str(state), str(state), by_state.get(state, 0)) for state in _MEANING]


def _token_parts(found: Figures) -> list[tuple[str, str, int]]:
    tokens = found.tokens
    if tokens is None:
        return []
    return [
        ("sent", "in mails that were accepted", tokens.sent),
        ("uncertain", "in mails that may have arrived", tokens.uncertain),
        ("sending", "under way", tokens.under_way),
        ("skipped", "revoked", tokens.revoked),
        ("queued", "to be revoked", tokens.pending),
        ("failed", "used before they could be revoked", tokens.used),
    ]
