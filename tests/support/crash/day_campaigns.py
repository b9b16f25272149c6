"""The three campaigns of a watched day, and their people: `define`, `people_of`, `write_csv`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.crash.records import Person
from support.crash.scenario import CONNECTIONS
from support.watching import replace

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable
    from pathlib import Path

ATTEMPTS, FIRST_DELAY_S = 5, 60.0
HTML = '<p><a href="{{ link }}">Sign in</a></p>\n'
SUBJECT, LATER_SUBJECT = "Hello", "Good afternoon"
_FATES = ("", "+grey", "+bounce", "+full")
#: The percentage of people with each fate; the empty fate is a normal delivery.
_SHARES = (91, 4, 3, 2)

_CART = """
[recipients]
file = "carts.csv"
[schedule]
due          = "abandoned_at + 1h"
until        = "abandoned_at + 3d"
hours        = "07:00-23:30"
default_zone = "UTC"
[[steps]]
name = "first"
[[steps]]
name = "second"
due  = "first + 6h"
"""
_PROMOTION = """
[recipients]
file = "customers.csv"
"""
_WAITLIST = """
[recipients]
clerk = "waitlist"
create_users = true
key = "waitlist_id"
"""
_COMMON = """
[email]
from    = "Acme <hello@acme.example>"
subject = "{subject}"
html    = "email.html"
[unsubscribe]
none = "transactional"
[link]
url        = "https://acme.example/welcome"
expires_in = "7d"
[limits]
connections = {connections}
[retry]
attempts    = {attempts}
first_delay = "{first_delay:.0f}s"
"""

DEFINITIONS = {"cart": _CART, "promotion": _PROMOTION, "waitlist": _WAITLIST}


def define(folder: Path, text: str, *, subject: str = SUBJECT) -> None:
    """Write the campaign file of a folder, which has the campaign's name; `text` is its own part."""
    common = _COMMON.format(subject=subject, connections=CONNECTIONS, attempts=ATTEMPTS, first_delay=FIRST_DELAY_S)
    head, steps, more = text.partition("[[steps]]")
    replace(folder / "campaign.toml", f'name = "{folder.name}"\n{head}{common}{steps}{more}')


def people_of(name: str, number: int, dice: random.Random) -> list[Person]:
    """Return imaginary people of a campaign; the mail server treats some as their addresses say."""
    fates = dice.choices(_FATES, _SHARES, k=number)
    people = []
    for each, fate in enumerate(fates):
        user_id = f"user_{name}{each}{fate.replace('+', '-')}"
        people.append(Person(user_id, user_id, f"{name}{each}{fate}@{name}.example"))
    return people


def write_csv(path: Path, people: Iterable[Person]) -> None:
    """Put a CSV of some people into place."""
    rows = [f"{person.user_id},{person.email}" for person in people]
    replace(path, "\n".join(["user_id,email", *rows, ""]))
