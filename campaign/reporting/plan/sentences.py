"""Say what a plan means: `summary`, `ending`, `assumptions`, `left_out` and `warnings`, one sentence each."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from campaign.reporting.summary import number

if TYPE_CHECKING:
    from datetime import datetime

    from campaign.planning import Forecast


def summary(plan: Forecast) -> str:
    """Return how many emails go to how many recipients, and from when on."""
    zone = plan.zone.key if plan.zone else "this machine's time"
    emails, recipients = number(plan.messages, "email"), number(plan.csv.recipients, "recipient")
    file, start = plan.definition.recipients.file, moment(plan.local(plan.start))
    return f"{plan.definition.name}: at most {emails} to the {recipients} of {file}, from {start} on ({zone})."


def ending(plan: Forecast) -> str:
    """Return when the last email goes out."""
    if not plan.messages:
        return "Nothing would be sent."
    last = plan.local(plan.tally.last_at)
    return f"The last email goes out on {day(last)} in the hour from {last:%H}:00 (line {plan.tally.last_line:,})."


def assumptions(plan: Forecast) -> list[str]:
    """Return what the plan takes for granted, and which limits it keeps."""
    definition, limits = plan.definition, plan.definition.limits
    sentences = ["Nobody was asked and nothing was changed or sent. Deferrals, refusals and retries are not planned."]
    if len(definition.step_names) > 1:
        sentences.append("At most: every step before is taken as sent, and nobody as having come back.")
    if definition.recheck is not None and definition.recheck.url is not None:
        sentences.append("At most: the site ([recheck]) still wants every mail.")
    if definition.recipients.batch:
        at = plan.local(plan.start)
        sentences.append(f"One run a day, at {at:%H:%M}, takes up a batch of {definition.recipients.batch:,}.")
    if share := definition.recipients.holdout:
        sentences.append(f"About {share:g}% are held out; who they are, the first run draws.")
    if plan.depends_on_time:
        sentences.append("A run is under way whenever a mail is due.")
    rates = [f"{rate} for messages" for rate in limits.messages]
    tokens = limits.tokens or plan.assumed_token_rates
    rates += [f"{rate} for tokens" for rate in tokens if definition.link]
    rates += [f"{rate} for {domain}" for domain, each in sorted(limits.domains.items()) for rate in each]
    if limits.ramp:
        rates.append(f"a ramp of {', '.join(map(str, limits.ramp))}")
    if limits.per_recipient:
        rates.append(f"{limits.per_recipient} for each address, without the mails of other campaigns")
    sentences.append(f"Limits: {'; '.join(rates)}." if rates else "No limit is set: the mail server's pace decides.")
    return sentences


def left_out(plan: Forecast) -> str:
    """Return why rows get no email; empty if none is left out."""
    found = [f"{count:,} {reason}" for reason, count in plan.csv.left_out.items()]
    return f"Not planned: {'; '.join(found)}." if found else ""


def warnings(plan: Forecast) -> list[str]:
    """Return what the operator may want to change."""
    tally, file = plan.tally, plan.definition.recipients.file
    found = []
    if (invalid := tally.invalid).number:
        found.append(f"{file}:{invalid.first}: {invalid.why} {_rows(invalid.number)} cannot be mailed.")
    if tally.stale.number:
        found.append(
            f"{_rows(tally.stale.number)} are too late already, the first on line {tally.stale.first:,} of {file}."
        )
    if tally.too_late.number:
        turn = moment(plan.local(tally.too_late.at))
        found.append(
            f"{number(tally.too_late.number, 'email')} would be too late before their turn and not be sent, the first "
            f"for line {tally.too_late.first:,} of {file} (its turn would come on {turn}): raise [limits], or set a "
            "later `until`."
        )
    if tally.short_links.number:
        at = moment(plan.local(tally.short_links.at))
        hours = ceil(tally.needed_life / 3600)
        found.append(
            f"{number(tally.short_links.number, 'link')} would expire before their reader's hours begin again, and be "
            f"good for less than 2 hours of them, the first for line {tally.short_links.first:,} of {file} (mailed on "
            f'{at}): with expires_in = "{hours}h" all would last until then.'
        )
    if tally.beyond:
        found.append(f"{number(tally.beyond, 'email')} would not be sent within ten years.")
    return found


def _rows(count: int) -> str:
    return number(count, "row")


def day(at: datetime) -> str:
    """Return `Thu 24 Dec 2026`."""
    return f"{at:%a} {at.day} {at:%b %Y}"


def moment(at: datetime) -> str:
    """Return `Thu 24 Dec 2026, 09:00`."""
    return f"{day(at)}, {at:%H:%M}"
