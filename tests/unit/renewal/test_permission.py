"""Whether a campaign sends a mail again for its reader: by its campaign file as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaign.config.definition import load_definition
from campaign.renewal import permission
from campaign.sendlog import LastMail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from campaign.config.definition import Definition

FILE = """\
name = "carts"
[recipients]
file = "carts.csv"
[link]
url = "https://shop.example/welcome"
expires_in = "48h"
{link}
[email]
from = "Acme <hello@acme.example>"
subject = "Your cart"
html = "email.html"
{more}"""
STEPS = """
[schedule]
until = "left_at + 3d"
default_zone = "UTC"
[[steps]]
name = "first"
[[steps]]
name = "second"
due = "first + 1d"
until = "first + 2d"
[locales]
column = "locale"
default = "en"
[locales.de.second]
renew = false
"""
SENT = 1_772_528_400.0
LEFT = "2026-03-03T09:00"
DAY = 86_400.0


@pytest.fixture
def definition(tmp_path: Path) -> Callable[[str, str], Definition]:
    """Return a function that loads a campaign file with these keys of [link] and these further sections."""

    def loaded(link: str = "renew = true", more: str = "") -> Definition:
        (tmp_path / "email.html").write_text("{{ link }}", encoding="utf-8")
        file = tmp_path / "campaign.toml"
        file.write_text(FILE.format(link=link, more=more), encoding="utf-8")
        return load_definition(file)

    return loaded


def mail(step: str = "", **variables: str) -> LastMail:
    """Return a mail of a step that was sent."""
    sent = {"first": SENT} if step == "second" else {}
    return LastMail(1, "carts", "campaign.toml", step, variables, sent, "carts.csv", 2)


def test_only_where_the_file_says_so(definition: Callable[..., Definition]) -> None:
    """Without `renew = true` of the mail's campaign, step and locale nothing is sent again."""
    assert permission(lambda _: definition())(mail(), SENT)
    assert not permission(lambda _: definition(""))(mail(), SENT)
    assert not permission(lambda _: None)(mail(), SENT)
    permits = permission(lambda _: definition(more=STEPS))
    assert permits(mail("second", locale="en", left_at=LEFT), SENT)
    assert not permits(mail("second", locale="de-AT", left_at=LEFT), SENT)
    assert permits(mail("first", locale="de", left_at=LEFT), SENT)
    assert not permits(mail("third", left_at=LEFT), SENT), "the file has no such step any more"


def test_not_after_the_end(definition: Callable[..., Definition]) -> None:
    """An offer that has ended gets no new link; one whose end cannot be read gets none either."""
    permits = permission(lambda _: definition(more=STEPS))
    end = SENT + 3 * DAY
    assert permits(mail("first", left_at=LEFT), end - 1)
    assert not permits(mail("first", left_at=LEFT), end + 1)
    assert permits(mail("second", left_at=LEFT), SENT + 2 * DAY - 1)
    assert not permits(mail("second", left_at=LEFT), SENT + 2 * DAY + 1)
    assert not permits(mail("first", left_at="soon"), SENT)
