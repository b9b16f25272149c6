"""Ask the operator before a step that has no way back: `said_yes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from campaign.words import printable

if TYPE_CHECKING:
    from rich.console import Console


def said_yes(out: Console, question: str) -> bool:
    """Return whether the operator answers with the whole word `yes`; the end of the input is a no."""
    try:
        answer = out.input(escape(f"{printable(question)} Type yes to go on: "))
    except EOFError:
        out.print()
        return False
    return answer.strip().lower() == "yes"
