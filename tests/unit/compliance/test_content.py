"""The flaws of all rows, each told once with its place and the number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.config.definition import load_definition
from campaign.config.settings import Settings
from campaign.reporting.check_report import check_campaign
from support import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def warnings(folder: Path, html: str, rows: list[dict[str, str]], subject: str = "Hello") -> list[str]:
    """Return the warnings of `check` about a campaign without a link."""
    (folder / "campaign.toml").write_text(
        'name = "x"\n[recipients]\nfile = "p.csv"\nkey = "email"\n[email]\nfrom = "hello@acme.example"\n'
        f"subject = '{subject}'\nhtml = \"email.html\"\n[limits]\n"
        'messages = "14/second"\n[unsubscribe]\nnone = "transactional"\n',
        encoding="utf-8",
    )
    (folder / "email.html").write_text(html, encoding="utf-8")
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (folder / "p.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = check_campaign(load_definition(folder / "campaign.toml"), Settings)
    assert report.problems == []
    return report.warnings


def people(number: int, **more: str) -> list[dict[str, str]]:
    """Return rows; `more` are columns whose value is only in the last row."""
    rows = [{"email": f"u{each}@d.example", "number": str(each)} for each in range(number)]
    return [row | {name: value if row is rows[-1] else "" for name, value in more.items()} for row in rows]


def test_a_flaw_of_every_row_is_told_once_with_its_line(tmp_path: Path) -> None:
    """A flaw of the template is told once, with the template's file and line and the rule."""
    html = '<p>Hello</p>\n<p><img src="https://acme.example/{{ number }}.png"></p>'
    (one,) = warnings(tmp_path, html, people(50))
    assert one.startswith(f"{tmp_path / 'email.html'}:2: an <img> has no alt, so readers")
    assert one.endswith('; write alt="…", or alt="" where the image is decoration (WCAG 2.2 §1.1.1)')


def test_a_flaw_of_one_row_is_told_with_the_row(tmp_path: Path) -> None:
    """A flaw that only one row's data brings is found, and told with the row's line."""
    html = '<p>Hello {% if vip %}<a href="{{ vip }}">VIP</a>{% endif %}</p>'
    (one,) = warnings(tmp_path, html, people(3, vip="http://vip.example/x"))
    assert "http://vip.example is not https" in one
    assert "(1 row in line 4 of p.csv)" in one.replace(f"{tmp_path}/", "")


def test_a_flaw_behind_a_condition_is_found(tmp_path: Path) -> None:
    """A flaw in a branch of the template that few rows take is found, with the branch's line."""
    html = '<p>Hello</p>\n{% if vip %}\n<p style="display: flex">VIP</p>\n{% endif %}'
    (one,) = warnings(tmp_path, html, people(3, vip="1"))
    assert one.startswith(
        f"{tmp_path / 'email.html'}:3: display: flex is dropped by Outlook on Windows (1 row in line 4"
    )
    assert "https://www.caniemail.com/features/css-display-flex" in one


def test_css_is_judged_after_it_was_inlined(tmp_path: Path) -> None:
    """A rule of a <style> that applies to an element is found as one of that element."""
    html = "<style>p { position: absolute }\n@media print { p { display: flex } }</style>\n<p>Hello</p>"
    (one,) = warnings(tmp_path, html, people(1))
    assert one.startswith(f"{tmp_path / 'email.html'}:1: position: absolute, fixed or sticky is dropped")


def test_a_subject_that_every_phone_clips(tmp_path: Path) -> None:
    """A subject is told if it is wider than a phone shows, with the number of rows and the first one."""
    exact = "x" * 48
    assert warnings(tmp_path, "<p>x</p>", people(3, more="y"), subject=exact) == []
    (one,) = warnings(tmp_path, "<p>x</p>", people(3, more="y"), subject=exact + "{{ more }}")
    assert "the subject has up to 49 letters (1 row in line 4" in one
    assert one.startswith(f"{tmp_path / 'campaign.toml'}:7: ")


def test_the_samples_have_no_flaws() -> None:
    """The sample campaigns keep the rules that they are to show."""
    for file in (ROOT / "templates").glob("*/campaign.toml"):
        report = check_campaign(load_definition(file), Settings)
        assert report.problems == []
        assert report.warnings == []
