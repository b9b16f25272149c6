"""The messages of a campaign: one for each step and locale, of which each row gets its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from campaign.config.definition import load_definition
from campaign.errors import TemplateError
from campaign.message import MessageTemplate
from campaign.message.dry_run import checked_rows
from campaign.message.message_id import message_id
from campaign.message.variants import CampaignMessages, said_once
from campaign.model import InvalidRow, Recipient

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
name = "carts"
[recipients]
file = "carts.csv"
key = "cart_id"
[email]
from = "Acme <hello@acme.example>"
[[steps]]
name = "first"
subject = "First, {{ name }}"
html = "first.html"
[[steps]]
name = "second"
due = "first + 1d"
subject = "Second, {{ name }}"
html = "second.html"
[locales]
column = "locale"
default = "en"
[locales.de]
from = "Acme <hallo@acme.example>"
[locales.de.first]
subject = "Erstens, {{ name }}"
html = "first.de.html"
"""
TEMPLATES = ("first.html", "second.html", "first.de.html")


def written(folder: Path, file: str = FILE, **templates: str) -> Path:
    """Write a campaign with these templates in place of its own, and return its file."""
    for name in TEMPLATES:
        (folder / name).write_text(f"<p>{name} for {{{{ name }}}}</p>", "utf-8")
    for name, html in templates.items():
        (folder / f"{name.replace('_', '.')}.html").write_text(html, "utf-8")
    path = folder / "carts.toml"
    path.write_text(file, "utf-8")
    return path


def loaded(folder: Path, file: str = FILE, **templates: str) -> CampaignMessages:
    """Return the messages of a campaign."""
    return CampaignMessages.load(load_definition(written(folder, file, **templates)))


def recipient(line: int, **variables: str) -> Recipient:
    """Return the recipient of a line of the CSV."""
    return Recipient(f"K{line}", f"u{line}@example.com", None, {"name": "Ann", "locale": ""} | variables, line)


def subject(messages: CampaignMessages, step: str, **variables: str) -> str:
    """Return the subject of a step's message to a row."""
    row = recipient(2, **variables)
    message = messages.of(step, row.variables).template.compose(
        row.variables, email=row.email, message_id="<a@b.example>", date=datetime(2026, 1, 2, tzinfo=UTC), token=None
    )
    return message.subject


@pytest.mark.parametrize(
    ("step", "locale", "said"),
    [
        ("first", "en", "First, Ann"),
        ("first", "de", "Erstens, Ann"),
        ("first", "de-AT", "Erstens, Ann"),
        ("first", "", "First, Ann"),
        ("first", "fr", "First, Ann"),
        ("second", "de", "Second, Ann"),
    ],
)
def test_a_row_gets_its_step_in_its_own_locale(tmp_path: Path, step: str, locale: str, said: str) -> None:
    """Each step is rendered in the row's locale; an unknown or empty one gets the default."""
    assert subject(loaded(tmp_path), step, locale=locale) == said


def test_a_variant_has_its_own_sender(tmp_path: Path) -> None:
    """A locale that overrides From has it in its messages and as their envelope sender."""
    messages = loaded(tmp_path)
    assert [variant.sender for variant in messages] == ["hello@acme.example", "hallo@acme.example"] * 2


def test_a_campaign_without_steps_and_locales_has_one_message(tmp_path: Path) -> None:
    """Without steps and locales the fingerprint is that of the only template, and the variant has no name."""
    plain = FILE[: FILE.index("[[steps]]")] + 'subject = "Hello"\nhtml = "first.html"\n'
    messages = loaded(tmp_path, plain)
    (variant,) = messages
    assert messages.fingerprint == MessageTemplate.load(variant.definition).fingerprint
    assert messages.name(variant) == ""
    assert messages.of("", {"locale": "de"}) is variant


@pytest.mark.parametrize("template", ["first", "second", "first_de"])
def test_the_fingerprint_covers_every_template(tmp_path: Path, template: str) -> None:
    """A change of any step's or locale's template changes the fingerprint of the campaign."""
    before = loaded(tmp_path).fingerprint
    assert loaded(tmp_path, **{template: "<p>other, {{ name }}</p>"}).fingerprint != before
    assert loaded(tmp_path).fingerprint == before


def test_every_malformed_template_is_named_with_its_step_and_locale(tmp_path: Path) -> None:
    """All variants are compiled, and an error that all of them have is said once, without a name."""
    with pytest.raises(TemplateError) as caught:
        loaded(tmp_path, second="<p>{{ name", first_de="{% if %}")
    lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert [line[: line.index(":")] for line in lines] == ["first.de.html", "second.html"]
    assert [line[line.rindex("(") :] for line in lines] == ["(step first, locale de)", "(step second)"]
    same = FILE.replace("second.html", "first.html").replace("first.de.html", "first.html")
    with pytest.raises(TemplateError) as caught:
        loaded(tmp_path, same, first="{{ name")
    assert str(caught.value).count("first.html") == 1
    assert "(step" not in str(caught.value)


def test_each_row_is_rendered_for_each_step_in_its_locale(tmp_path: Path) -> None:
    """A row whose values make any of its messages impossible is skipped, with the step and locale in the reason."""
    messages = loaded(tmp_path, second="<p>{{ name | number }}</p>", first_de="<p>{{ name | number }}</p>")
    rows = [recipient(2, name="5"), recipient(3), recipient(4, locale="de"), recipient(5, name="5", locale="de")]
    found = list(checked_rows(rows, messages, tmp_path / "carts.csv"))
    assert [type(row) for row in found] == [Recipient, InvalidRow, InvalidRow, Recipient]
    reasons = [row.reason for row in found if isinstance(row, InvalidRow)]
    assert reasons[0].endswith("(step second, locale en)")
    assert reasons[1].endswith("(step first, locale de)")


def test_a_template_that_fails_for_one_locale_stops_the_run(tmp_path: Path) -> None:
    """A mistake in a template of one locale stops the run before anything is sent, though the others are right."""
    messages = loaded(tmp_path, first_de="<p>{{ nmae }}</p>")
    with pytest.raises(TemplateError, match=r"carts.csv:3: .*first.de.html:1: .*nmae.*\(step first, locale de\)"):
        list(checked_rows([recipient(2), recipient(3, locale="de")], messages, tmp_path / "carts.csv"))


EVERY = [(step, locale) for step in ("one", "two") for locale in ("en", "de", "fr")]


@pytest.mark.parametrize(
    ("concerned", "name"),
    [
        (EVERY, ""),
        (EVERY[:3], " (step one)"),
        ([("one", "de"), ("two", "de")], " (locale de)"),
        ([("one", "de"), ("two", "de"), ("one", "en"), ("two", "en")], " (locales en, de)"),
        ([("two", "fr")], " (step two, locale fr)"),
        ([("one", "de"), ("two", "fr")], " (step one, locale de; step two, locale fr)"),
    ],
)
def test_a_line_is_said_once_with_the_shortest_name(concerned: list[tuple[str, str]], name: str) -> None:
    """What holds for all is said without a name, what holds for a step or a locale with that one, the rest with all."""
    lines: dict[Any, list[str]] = {key: ["own"] * (key in concerned) + ["common"] for key in EVERY}
    assert sorted(said_once(lines, EVERY)) == sorted([f"own{name}", "common"])


def test_variants_that_no_row_has_need_not_share_a_line() -> None:
    """A line that all variants in use share is said without a name, though one that no row has lacks it."""
    assert list(said_once({EVERY[0]: ["x"], EVERY[3]: ["x"]}, EVERY, used=[EVERY[0], EVERY[3]])) == ["x"]


def test_each_step_has_a_message_id_of_its_own() -> None:
    """Two steps of one key have different Message-IDs, and a campaign without steps keeps those that it had."""
    steps = ("", "first", "second")
    made = [message_id(b"secret", "K1", 1, sender="a@acme.example", step=step) for step in steps]
    assert len(set(made)) == 3
    assert made[0] == "<6a241aa5a18d9405e11941625bfac54b@acme.example>"
