"""`check` of a campaign with steps and locales: every variant is rendered, and what is common is said once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.config.definition import load_definition
from campaign.config.settings import Settings
from campaign.reporting.check_report import CheckReport, check_campaign

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
name = "carts"
[recipients]
file = "carts.csv"
key = "cart_id"
where = "total | number > 20"
[unsubscribe]
none = "transactional"
[limits]
messages = "14/second"
[email]
from = "Acme <hello@acme.example>"
[[steps]]
name = "first"
subject = "First"
html = "first.html"
[[steps]]
name = "second"
due = "first + 1d"
subject = "Second"
html = "second.html"
[locales]
column = "locale"
default = "en"
[locales.de.first]
html = "first.de.html"
[locales.it.second]
html = "second.it.html"
"""
ROWS = """email,cart_id,total,name,locale
a@example.com,A,30,Ann,en
b@example.com,B,10,Bob,en
c@example.com,C,40,Cid,de
"""


def checked(folder: Path, *, file: str = FILE, rows: str = ROWS, **templates: str) -> CheckReport:
    """Return the report of a campaign with these templates in place of sound ones."""
    for name in ("first", "second", "first_de", "second_it"):
        html = templates.get(name, "<p>Hello {{ name }}</p>")
        (folder / f"{name.replace('_', '.')}.html").write_text(html, "utf-8")
    (folder / "carts.toml").write_text(file, "utf-8")
    (folder / "carts.csv").write_text(rows, "utf-8")
    return check_campaign(load_definition(folder / "carts.toml"), Settings)


def told(folder: Path, lines: list[str]) -> list[str]:
    """Return lines without the folder."""
    return [line.replace(f"{folder}/", "") for line in lines]


def test_each_row_is_rendered_for_each_step(tmp_path: Path) -> None:
    """A sound campaign counts an email for each step, its templates in all locales, and the rows outside `where`."""
    report = checked(tmp_path)
    assert (report.problems, report.warnings) == ([], [])
    assert [name.rpartition("/")[2] for name in report.templates] == [
        "first.de.html",
        "first.html",
        "second.html",
        "second.it.html",
    ]
    assert list(report.lines())[-2:] == [
        "recipients: 1 of 3 rows is outside `where` (total | number > 20).",
        "carts: 4 emails can be rendered, one for each of 2 steps. Nothing was sent.",
    ]


def test_a_problem_names_its_step_and_locale(tmp_path: Path) -> None:
    """A mistake in the template of one step and locale is a problem with the line of the row that shows it."""
    report = checked(tmp_path, first_de="<p>{{ first_name }}</p>")
    (problem,) = told(tmp_path, report.problems)
    assert problem.startswith("carts.csv:4: first.de.html:1: The variable first_name does not exist")
    assert problem.endswith("(step first, locale de)")


def test_problems_of_two_steps_are_both_told(tmp_path: Path) -> None:
    """A mistake in the first step does not hide the one in the second."""
    report = checked(tmp_path, first="<p>{{ one }}</p>", second="<p>{{ two }}</p>")
    found = told(tmp_path, report.problems)
    assert [line.partition(": The variable")[0] for line in found] == [
        "carts.csv:2: first.html:1",
        "carts.csv:2: second.html:1",
        "carts.csv:4: second.html:1",
    ]


def test_a_warning_that_holds_for_all_is_said_once(tmp_path: Path) -> None:
    """An accident of a template that all steps and locales share is one warning without a name."""
    shared = FILE.replace("second.html", "first.html").replace("first.de.html", "first.html")
    shared = shared.replace("second.it.html", "first.html")
    report = checked(tmp_path, file=shared, first='<p>Hello</p><img alt="" src="logo.png">')
    (line,) = [line for line in told(tmp_path, report.warnings) if "is relative" in line]
    assert line.startswith('first.html:1: src="logo.png" is relative')
    assert "(step" not in line


def test_a_warning_of_one_step_names_it(tmp_path: Path) -> None:
    """An accident in the template of one step is told with the step's name, for all its locales together."""
    report = checked(tmp_path, second='<p>Hello</p><img src="https://acme.example/logo.png">')
    alt = [line for line in told(tmp_path, report.warnings) if "alt" in line]
    assert len(alt) == 1
    assert alt[0].startswith("second.html:1: ")
    assert "(step second)" in alt[0]


def test_a_message_that_no_row_gets_yet_is_checked_too(tmp_path: Path) -> None:
    """A mistake in a locale of which the CSV has no row is a warning: it would stop a later run."""
    report = checked(tmp_path, second_it="<p>{{ stadt }}</p>")
    (line,) = told(tmp_path, report.warnings)
    assert line.startswith("second.it.html:1: The variable stadt does not exist")
    assert line.endswith("(step second, locale it): no row gets this message yet")
    assert report.problems == []


def test_a_row_that_one_step_cannot_mail_is_skipped_once(tmp_path: Path) -> None:
    """A row that only the second step cannot be rendered for is skipped as a whole, with that step's name."""
    report = checked(tmp_path, second="<p>{{ name | number }}</p>", rows=ROWS.replace("Ann", "5"))
    assert (report.recipients, report.skipped) == (1, 1)
    (line,) = told(tmp_path, report.warnings)
    assert line.startswith("carts.csv:4: skipped: second.html:1: 'Cid' is not a plain number")
    assert line.endswith("(step second, locale de)")


def test_a_step_without_a_due_time_of_its_own_is_warned_of(tmp_path: Path) -> None:
    """A later step that would follow at the heels of the one before is a warning with its line."""
    report = checked(tmp_path, file=FILE.replace('due = "first + 1d"\n', ""))
    (line,) = told(tmp_path, report.warnings)
    assert line.startswith('carts.toml:17: the step "second" goes out at once after "first"; ')


def test_a_malformed_where_does_not_hide_the_rest(tmp_path: Path) -> None:
    """The rows are rendered though `where` cannot be read, so that all problems are told at once."""
    file = FILE.replace("total | number", "total | nummer")
    report = checked(tmp_path, file=file, second="<p>{{ two }}</p>")
    found = told(tmp_path, report.problems)
    assert found[0].startswith("carts.toml:6: [recipients] where: There is no filter nummer")
    assert found[1].startswith("carts.csv:2: second.html:1: The variable two does not exist")


def test_an_empty_audience_is_a_warning(tmp_path: Path) -> None:
    """A CSV of which `where` leaves out every row has no mistake: nobody would be mailed, and that is said."""
    report = checked(tmp_path, file=FILE.replace("> 20", "> 90"))
    assert report.problems == []
    assert told(tmp_path, report.warnings) == [
        "carts.csv: nobody would be mailed: 3 of 3 rows are outside `where` (total | number > 90)."
    ]


def test_the_sender_of_each_locale_is_reviewed(tmp_path: Path) -> None:
    """From at a free-mail domain is a problem also where only one locale has it."""
    report = checked(tmp_path, file=FILE + '[locales.de]\nfrom = "acme@gmail.com"\n')
    assert len([problem for problem in report.problems if "gmail.com is a free-mail domain" in problem]) == 1
