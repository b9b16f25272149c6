"""The audience: who of a CSV is a recipient, in which order, and when each is due."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from campaign.audience import Audience
from campaign.config.definition import load_definition
from campaign.errors import RecipientsError, TemplateError
from campaign.model import InvalidRow, Recipient
from campaign.recipients import read_recipients

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

FILE = """
name = "carts"
[recipients]
file = "carts.csv"
key = "cart_id"
{recipients}
{schedule}
[email]
from = "hello@acme.example"
subject = "Hello"
html = "email.html"
{more}
"""
HEADER = "email,cart_id,total,plan,left_at,zone,Place in line\n"
ROWS = """a@example.com,A,50.00,pro,2026-10-24 12:00,,3
b@example.com,B,20.00,free,2026-10-25 12:00,,1
c@example.com,C,20.10,pro,2026-10-24T12:00Z,,2
"""
SCHEDULE = '[schedule]\ndue = "left_at + 1h"\nuntil = "left_at + 3d"\nzone = "zone"\ndefault_zone = "Europe/Berlin"'

Row = Recipient | InvalidRow


def audience(folder: Path, *, recipients: str = "", schedule: str = "", more: str = "") -> Audience:
    """Return the audience of a campaign with these keys; those of `[recipients]` begin on line 6."""
    (folder / "email.html").write_text("<p>Hello</p>")
    file = folder / "carts.toml"
    file.write_text(FILE.format(recipients=recipients, schedule=schedule, more=more))
    return Audience(load_definition(file))


def reading(folder: Path, rows: str) -> Generator[Row, None, None]:
    """Return the rows of a CSV in a campaign's folder."""
    (folder / "carts.csv").write_text(HEADER + rows)
    section = load_definition(folder / "carts.toml").recipients
    return read_recipients(section.file, section, needs_user_id=False)


def selected(folder: Path, rows: str, *, recipients: str = "", schedule: str = "", more: str = "") -> list[Row]:
    """Return the rows of a CSV that are in the audience of a campaign with these keys."""
    chosen = audience(folder, recipients=recipients, schedule=schedule, more=more)
    return list(chosen.select(reading(folder, rows)))


def keys(rows: list[Row]) -> list[str]:
    """Return the keys of the recipients."""
    return [row.key for row in rows if isinstance(row, Recipient)]


def reasons(rows: list[Row]) -> dict[str, str]:
    """Return the reasons of the invalid rows by key."""
    return {row.key: row.reason for row in rows if isinstance(row, InvalidRow)}


def instant(text: str) -> float:
    """Return the instant of a time with a zone."""
    return datetime.fromisoformat(text).timestamp()


def test_without_choosing_every_row_is_a_recipient_as_it_was_read(tmp_path: Path) -> None:
    """A campaign without `where`, `order` and times takes the rows as they are read."""
    assert selected(tmp_path, ROWS) == list(reading(tmp_path, ROWS))


def test_only_rows_inside_where_are_recipients(tmp_path: Path) -> None:
    """Rows for which `where` is false are left out and counted, and the others are unchanged."""
    chosen = audience(tmp_path, recipients="""where = "plan == 'pro' and total | number > 20" """)
    everyone = list(reading(tmp_path, ROWS))
    assert list(chosen.select(reading(tmp_path, ROWS))) == [everyone[0], everyone[2]]
    assert (chosen.outside, chosen.seen) == (1, 3)
    assert chosen.sentence == "1 of 3 rows is outside `where` (plan == 'pro' and total | number > 20)."


def test_a_row_on_which_where_fails_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """A cell that cannot be read costs its own row, with its line, and no other."""
    rows = selected(tmp_path, ROWS.replace("20.00", "n/a"), recipients='where = "total | number > 20"')
    assert keys(rows) == ["A", "C"]
    assert reasons(rows)["B"].startswith(f"{tmp_path / 'carts.toml'}:6: [recipients] where: 'n/a' is not a plain num")
    assert [row.line for row in rows if isinstance(row, InvalidRow)] == [3]


def test_an_expression_that_is_wrong_for_all_rows_stops_the_reading(tmp_path: Path) -> None:
    """A comparison of text with a number is no reason to mail nobody: it is an error with the lines of both files."""
    with pytest.raises(TemplateError) as caught:
        selected(tmp_path, ROWS, recipients='where = "total > 20"')
    assert str(caught.value).startswith(
        f"{tmp_path / 'carts.csv'}:2: {tmp_path / 'carts.toml'}:6: [recipients] where: Text ('50.00') is compared"
    )


def test_an_expression_that_takes_too_much_work_for_three_rows_stops_the_reading(tmp_path: Path) -> None:
    """Three rows in sequence that pass the limits are the expression's mistake, and the reading ends."""
    with pytest.raises(TemplateError, match=r"would have more than .* \(3 rows: lines 2, 3, 4\)"):
        selected(tmp_path, ROWS, recipients="""where = "plan * 10000000 == 'x'" """)


def test_where_sees_the_rows_of_a_group(tmp_path: Path) -> None:
    """With `group`, the expression has the list of a recipient's rows, and only the columns that they share."""
    rows = "a@example.com,A,5,pro,,,1\na@example.com,A,7,pro,,,1\nb@example.com,B,5,pro,,,1\n"
    grouping = "group = \"items\"\nwhere = \"items | map(attribute='total') | map('number') | sum > 11\""
    assert keys(selected(tmp_path, rows, recipients=grouping)) == ["A"]
    unequal = selected(tmp_path, rows, recipients='group = "items"\nwhere = "total | number > 3"')
    assert keys(unequal) == ["B"]
    assert "total is not the same in all rows of this group" in reasons(unequal)["A"]


def test_missing_columns_are_named_with_their_keys_and_lines(tmp_path: Path) -> None:
    """Columns that the CSV does not have are all named before any row is taken, with the place that needs them."""
    with pytest.raises(TemplateError) as caught:
        selected(
            tmp_path,
            ROWS,
            recipients='order = "plce in line"',
            schedule='[schedule]\ndue = "left_in + 1h"\ndefault_zone = "UTC"',
            more='[locales]\ncolumn = "language"\ndefault = "en"',
        )
    assert {line.replace(f"{tmp_path}/", "").partition("; ")[0] for line in str(caught.value).splitlines()} == {
        "carts.toml:6: [recipients] order: there is no column plce_in_line in carts.csv",
        "carts.toml:8: [schedule] due: there is no column left_in in carts.csv",
        "carts.toml:15: [locales] column: there is no column language in carts.csv",
    }
    assert "did you mean left_at? The columns are cart_id, email, left_at, " in str(caught.value)


def test_a_missing_column_of_where_is_named_though_no_row_reaches_it(tmp_path: Path) -> None:
    """A name in `where` that is no column is an error at the first row, with the nearest column."""
    with pytest.raises(TemplateError, match=r"carts.toml:6: \[recipients\] where: There is no column totl; did you m"):
        selected(tmp_path, ROWS, recipients="""where = "plan == 'x' and totl | number > 3" """)


def test_a_malformed_where_is_refused_before_any_row_is_read(tmp_path: Path) -> None:
    """A mistake in the expression names the campaign file's line."""
    with pytest.raises(TemplateError, match=r"carts.toml:6: \[recipients\] where: There is no filter nummer"):
        audience(tmp_path, recipients='where = "total | nummer > 20"')


@pytest.mark.parametrize(
    ("cells", "positions"),
    [
        (("3", "1.5", "-2"), [3.0, 1.5, -2.0]),
        (
            ("2026-10-25T12:00+02:00", "2026-10-25T12:00Z", "2026-10-25"),
            [instant("2026-10-25T10:00+00:00"), instant("2026-10-25T12:00+00:00"), instant("2026-10-24T22:00+00:00")],
        ),
    ],
)
def test_the_position_is_a_number_or_a_time(tmp_path: Path, cells: tuple[str, ...], positions: list[float]) -> None:
    """`order` names a column as its header has it; its numbers or times become the rows' positions."""
    rows = "".join(f"a{n}@example.com,K{n},1,pro,,,{cell}\n" for n, cell in enumerate(cells))
    zone = '[schedule]\ndefault_zone = "Europe/Berlin"'
    found = selected(tmp_path, rows, recipients='order = "Place in Line"', schedule=zone)
    assert [row.position for row in found if isinstance(row, Recipient)] == positions


@pytest.mark.parametrize("cell", ["", "soon", "1e5", "nan", "12,5"])
def test_a_position_that_is_neither_costs_the_row(tmp_path: Path, cell: str) -> None:
    """A row whose place in the order cannot be read is skipped, and not put at the end without a word."""
    rows = f'a@example.com,A,1,pro,,,"{cell}"\n'
    found = selected(tmp_path, rows, recipients='order = "place_in_line"')
    assert reasons(found)["A"].startswith(f"The cell place_in_line ({cell!r}) is neither a number nor a time")


def test_the_due_time_is_that_of_the_first_step_in_the_rows_zone(tmp_path: Path) -> None:
    """A row is due when its first step is: by its column, in its own zone or the campaign's."""
    rows = (
        "a@example.com,A,1,pro,2026-10-24 12:00,,1\nb@example.com,B,1,pro,2026-10-24 12:00,America/New_York,1\n"
        "c@example.com,C,1,pro,2026-10-24T12:00Z,,1\n"
    )
    found = selected(tmp_path, rows, schedule=SCHEDULE)
    assert [row.due_at for row in found if isinstance(row, Recipient)] == [
        instant("2026-10-24T13:00+02:00"),
        instant("2026-10-24T13:00-04:00"),
        instant("2026-10-24T13:00+00:00"),
    ]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ("soon,", "The cell left_at: 'soon' is not a time in ISO 8601"),
        (",", "The cell left_at is empty"),
        ("2026-10-24 12:00,Europe/Berlni", "The cell zone: 'Europe/Berlni' is not a time zone; did you mean"),
    ],
)
def test_a_time_that_cannot_be_read_costs_the_row(tmp_path: Path, cells: str, says: str) -> None:
    """A row whose due time, end or zone cannot be read is skipped with column and reason, and the others are due."""
    rows = f"a@example.com,A,1,pro,{cells},1\nb@example.com,B,1,pro,2026-10-24 12:00,,1\n"
    found = selected(tmp_path, rows, schedule=SCHEDULE)
    assert keys(found) == ["B"]
    assert says in reasons(found)["A"]


def test_a_time_of_a_later_step_that_cannot_be_read_costs_the_row(tmp_path: Path) -> None:
    """What a later step would stumble over is said at once, before the first one is sent."""
    steps = '[[steps]]\nname = "first"\n[[steps]]\nname = "second"\ndue = "first + 1d"\nuntil = "left_at + 3d"'
    rows = "a@example.com,A,1,pro,soon,,1\nb@example.com,B,1,pro,2026-10-24T12:00Z,,1\n"
    found = selected(tmp_path, rows, more=steps)
    assert keys(found) == ["B"]
    assert [row.due_at for row in found if isinstance(row, Recipient)] == [0.0]
    assert "The cell left_at: 'soon'" in reasons(found)["A"]


def test_the_schedule_is_that_of_the_rows_locale(tmp_path: Path) -> None:
    """A locale that overrides the due time does so for its own rows only."""
    locales = '[locales]\ncolumn = "plan"\ndefault = "en"\n[locales.de]\ndue = "left_at + 2h"'
    rows = "a@example.com,A,1,de,2026-10-24T12:00Z,,1\nb@example.com,B,1,en,2026-10-24T12:00Z,,1\n"
    found = selected(tmp_path, rows, schedule='[schedule]\ndue = "left_at + 1h"', more=locales)
    assert [row.due_at for row in found if isinstance(row, Recipient)] == [
        instant("2026-10-24T14:00+00:00"),
        instant("2026-10-24T13:00+00:00"),
    ]


def test_a_group_whose_rows_differ_in_a_needed_column_is_skipped(tmp_path: Path) -> None:
    """Rows of one recipient that are due at two times are an error of the data, and none of the two is taken."""
    rows = "a@example.com,A,1,pro,2026-10-24 12:00,,1\na@example.com,A,1,pro,2026-10-24 13:00,,1\n"
    found = selected(tmp_path, rows, recipients='group = "items"', schedule=SCHEDULE)
    assert reasons(found)["A"].startswith("The rows of this group differ in left_at")


def test_dates_without_a_zone_need_the_campaigns(tmp_path: Path) -> None:
    """`date` reads a time as `[schedule]` does, and without any zone the expression is refused."""
    where = """where = "left_at | date >= '2026-10-25' | date" """
    zoned = selected(tmp_path, ROWS, recipients=where, schedule='[schedule]\ndefault_zone = "Europe/Berlin"')
    assert keys(zoned) == ["B"]
    with pytest.raises(TemplateError, match="has no zone; write it like"):
        selected(tmp_path, ROWS, recipients=where)


def test_the_fingerprint_changes_with_what_is_read(tmp_path: Path) -> None:
    """A CSV is read again after a change of the times or of the column of locales, and not of the hours."""
    plain = audience(tmp_path).fingerprint
    scheduled = audience(tmp_path, schedule=SCHEDULE).fingerprint
    later = audience(tmp_path, schedule=SCHEDULE.replace("+ 1h", "+ 2h")).fingerprint
    hours = audience(tmp_path, schedule=SCHEDULE + '\nhours = "09:00-20:00"').fingerprint
    locales = audience(tmp_path, more='[locales]\ncolumn = "plan"\ndefault = "en"').fingerprint
    assert plain == ""
    assert len({plain, scheduled, later, locales}) == 4
    assert hours == scheduled


def test_the_csv_is_closed_with_the_selection(tmp_path: Path) -> None:
    """A selection that is not read to its end closes the CSV, and one that fails does so, too."""
    chosen = audience(tmp_path, recipients='where = "total | number > 1"')
    rows = reading(tmp_path, ROWS)
    selection = chosen.select(rows)
    next(selection)
    selection.close()
    assert list(rows) == []
    with pytest.raises(RecipientsError):
        list(chosen.select(reading(tmp_path, 'a@example.com,A,1,pro,,,"1\n')))
