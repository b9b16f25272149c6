"""Write the results of a campaign as lines of text or as an object for JSON: `results_lines`, `results_object`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from campaign.clock import instant
from campaign.reporting.progress import as_text
from campaign.reporting.results import sentences
from campaign.results.counting import WINDOWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.results import Results
    from campaign.results.counting import Arm


def results_lines(results: Results) -> Iterator[str]:
    """Yield the results as text: a table of everyone, those held out, each step, batch and day, and what it means."""
    if not results.everyone.number:
        yield f"{results.campaign}: nobody was mailed yet."
        return
    yield f"{results.campaign}: who signed in after the mail, {sentences.asked_when(results)}."
    yield as_text(_table(results))
    if compared := sentences.comparison(results):
        yield compared
    yield from sentences.notes(results)


def results_object(results: Results) -> dict[str, Any]:
    """Return the object that `campaign results --json` prints; instants are in ISO 8601, shares from -1 to 1."""
    found = results.difference
    asked = None if results.asked_at is None else instant(results.asked_at).isoformat(timespec="seconds")
    return {
        "campaign": results.campaign,
        "asked_at": asked,
        "zone": results.zone.key,
        "everyone": _object(results.everyone),
        "held_out": _object(results.held_out),
        "difference": found and found._asdict() | {"points": found.points},
        "steps": [{"step": name} | _object(arm) for name, arm in results.steps.items()],
        "batches": [
            {"batch": name} | _object(arm) | {"held_out": _object(held)}
            for name, (arm, held) in results.batches.items()
        ],
        "days": [{"day": day.isoformat()} | _object(arm) for day, arm in results.days.items()],
        "links": asdict(results.links),
        "can_still_grow": results.young,
    }


def _object(arm: Arm) -> dict[str, Any]:
    within = {name: {"at_least": arm.surely[name], "at_most": arm.perhaps[name]} for name in WINDOWS}
    return {
        "number": arm.number,
        "bounced": arm.bounced,
        "unknown_at_clerk": arm.strangers,
        "signed_in": arm.signed_in,
        "within": within,
    }


def _table(results: Results) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("number", "bounced", "within an hour", "a day", "a week", "since"):
        table.add_column(name, justify="right")
    _add(table, "mailed", results.everyone)
    if results.held_out.number:
        _add(table, "held out", results.held_out, is_held_out=True)
    for name, arm in results.steps.items():
        _add(table, f"step {name}", arm)
    if len(results.batches) > 1:
        for batch, (arm, held) in results.batches.items():
            _add(table, f"batch {batch}", arm)
            if held.number:
                _add(table, "  held out of it", held, is_held_out=True)
    if len(results.days) > 1:
        for day, arm in results.days.items():
            _add(table, f"{day:%Y-%m-%d} {results.zone.key}", arm)
    return table


def _add(table: Table, name: str, arm: Arm, *, is_held_out: bool = False) -> None:
    share = f" ({arm.signed_in / arm.known:.0%})" if arm.known else ""
    table.add_row(
        escape(name),
        f"{arm.number:,}",
        "" if is_held_out else f"{arm.bounced:,}",
        *(sentences.bounds(arm, window) for window in WINDOWS),
        f"{arm.signed_in:,}{share}",
    )
