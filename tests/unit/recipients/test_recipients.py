"""Recipients: each row becomes a recipient or an invalid row with a reason. test_csvfile.py tests reading the CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.config.definition import RecipientsSection
from campaign.errors import RecipientsError
from campaign.model import InvalidRow, Recipient
from campaign.recipients import fingerprint, normalise_address, read_recipients

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = "email,user_id,First Name"


def read(
    folder: Path,
    content: str,
    *,
    key: str = "user_id",
    lookup: Literal["email"] | None = None,
    needs_user_id: bool = True,
) -> Sequence[Recipient | InvalidRow]:
    """Return the rows of a CSV with this content."""
    path = folder / "people.csv"
    path.write_text(content, encoding="utf-8", newline="")
    section = RecipientsSection(file=path, key="email" if lookup else key, lookup=lookup)
    return list(read_recipients(path, section, needs_user_id=needs_user_id))


def only(rows: Sequence[Recipient | InvalidRow]) -> Recipient:
    """Return the only recipient."""
    (row,) = rows
    assert isinstance(row, Recipient)
    return row


def invalid(rows: Sequence[Recipient | InvalidRow]) -> InvalidRow:
    """Return the only invalid row."""
    (row,) = rows
    assert isinstance(row, InvalidRow)
    return row


def test_a_row_becomes_a_recipient(tmp_path: Path) -> None:
    """A row's columns become the recipient's variables, in the order of the file, with the row's first line."""
    rows = read(tmp_path, f"{HEADER}\r\nann@example.com,user_1, Ann \r\nBob@Bücher.Example,user_2,Bob\r\n")
    assert rows == [
        Recipient(
            key="user_1",
            email="ann@example.com",
            user_id="user_1",
            variables={"email": "ann@example.com", "user_id": "user_1", "first_name": "Ann"},
            line=2,
        ),
        Recipient(
            key="user_2",
            email="Bob@xn--bcher-kva.example",
            user_id="user_2",
            variables={"email": "Bob@xn--bcher-kva.example", "user_id": "user_2", "first_name": "Bob"},
            line=3,
        ),
    ]


#: Texts allowed in a cell: without refused characters, and without white space at the ends.
CELLS = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc"], exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
    | st.sampled_from("\t\n,;\"' ")
).map(str.strip)


@given(
    people=st.lists(st.tuples(st.from_regex(r"[a-z]{1,9}@[a-z]{1,9}\.example", fullmatch=True), CELLS, CELLS)),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_values_survive_the_file(
    people: list[tuple[str, str, str]], delimiter: str, end: str, quoting: Literal[0, 1, 2], encoding: str
) -> None:
    """Every value that a CSV writer wrote is read back as a variable, character for character."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["email", "user_id", "name", "note"])
    writer.writerows([email, f"user_{i}", name, note] for i, (email, name, note) in enumerate(people))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.csv"
        path.write_bytes((text.getvalue() + "\n\n").encode(encoding))
        rows = read_recipients(path, RecipientsSection(file=path))
        if not people:
            with pytest.raises(RecipientsError, match="no rows"):
                next(rows)
            return
        found = [
            (row.email, row.variables["name"], row.variables["note"]) for row in rows if isinstance(row, Recipient)
        ]
    assert found == people


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("First Name", "first_name"),
        (" first_name ", "first_name"),
        ("firstName", "firstName"),
        ("Plan (€/month)", "plan_month"),
        ("1st order", "_1st_order"),
        ("Prénom", "Prénom"),
        ("Pre\u0301nom", "Prénom"),
        ("E-mail", "e_mail"),
        ('"two\nlines"', "two_lines"),
    ],
)
def test_a_header_is_a_name_for_templates(tmp_path: Path, header: str, name: str) -> None:
    """A header that is a valid name is kept, and any other is converted to snake_case."""
    row = only(read(tmp_path, f" Email ,USER_ID,{header}\nann@example.com,user_1,x\n"))
    assert row.variables == {"email": "ann@example.com", "user_id": "user_1", name: "x"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("E-mail,user_id\na,b\n", ['column "email" is missing', "e_mail and user_id", '"E-mail"']),
        ("user_id,name\na,b\n", ['column "email" is missing', "user_id and name"]),
        ("email,name\na,b\n", ['column "user_id" is missing', "lookup"]),
        ("email,user_id,email\na,b,c\n", ["email", "same name"]),
        ("email,user_id, EMAIL \na,b,c\n", ['"email"', '"EMAIL"', "same name"]),
        ("email,user_id,First Name,first_name\na,b,c,d\n", ['"First Name"', '"first_name"']),
        ("email,user_id,,name,\na,b,c,d,e\n", ["column 3 and 5"]),
        ("email,user_id,€\na,b,c\n", ["€"]),
        ("email,user_id,na\x00me\na,b,c\n", ["cannot become a variable name"]),
        ("email,user_id\n", ["no rows"]),
        ("email,user_id\n\n,\n", ["no rows"]),
        ("ann@example.com,user_1\n", ['column "email" is missing']),
    ],
)
def test_a_header_that_cannot_be_trusted_refuses_the_file(tmp_path: Path, content: str, words: list[str]) -> None:
    """A missing, blank or duplicate column, or a file without rows, is refused and the message names what is wrong."""
    with pytest.raises(RecipientsError) as refused:
        read(tmp_path, content)
    sentence = str(refused.value)
    assert f"{tmp_path / 'people.csv'}:1: " in sentence
    assert [word for word in words if word not in sentence] == []


def test_the_line_of_a_header_is_its_own(tmp_path: Path) -> None:
    """An error in the header names the header's line, also after a `sep=` line and an empty one."""
    with pytest.raises(RecipientsError, match=r"people\.csv:3: .*email"):
        read(tmp_path, "sep=;\n\nmail;user_id\na;b\n")


def test_a_key_must_be_a_column(tmp_path: Path) -> None:
    """If the key is not a column, the error lists the columns and suggests the nearest one."""
    with pytest.raises(RecipientsError, match=r'column "cart" is missing.*email, user_id and cart_id.*"cart_id"'):
        read(tmp_path, "email,user_id,cart_id\na,b,c\n", key="cart")


@pytest.mark.parametrize("key", ["cart_id", "Cart ID", "CART_ID"])
def test_a_key_is_found_by_header_or_name(tmp_path: Path, key: str) -> None:
    """The key may be given as the header or as the name that templates use."""
    assert only(read(tmp_path, "email,user_id,Cart ID\nann@example.com,u,c7\n", key=key)).key == "c7"


@pytest.mark.parametrize("surplus", [",", ",,,", ", ,"])
def test_empty_cells_behind_the_last_column_are_no_fault(tmp_path: Path, surplus: str) -> None:
    """A spreadsheet writes empty cells behind the last column; they are left out."""
    row = only(read(tmp_path, f"{HEADER}\nann@example.com,user_1,Ann{surplus}\n"))
    assert row.variables == {"email": "ann@example.com", "user_id": "user_1", "first_name": "Ann"}


@pytest.mark.parametrize("name", ["link", "Link", "link_to", "self", "Unsubscribe", "link to"])
def test_a_column_may_not_be_named_as_a_variable_of_the_program(tmp_path: Path, name: str) -> None:
    """A column that the program's own variable would hide is refused at the header."""
    with pytest.raises(RecipientsError, match=rf'people\.csv:1: the column "{name}" has the name of a variable'):
        read(tmp_path, f"email,user_id,{name}\nann@example.com,user_1,x\n")


def test_an_address_as_key_is_one_whatever_its_case(tmp_path: Path) -> None:
    """If the address is the key, the key is in lower case and the mail goes to the address as written."""
    row = only(read(tmp_path, "email,user_id\nAnn@Bücher.Example,user_1\n", key="email"))
    assert (row.key, row.email) == ("ann@xn--bcher-kva.example", "Ann@xn--bcher-kva.example")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("ann@example.com,user_1", "2 cells, but the header has 3"),
        ("ann@example.com,user_1,Ann,x", "4 cells, but the header has 3"),
        ('"ann@example.com,user_1,Ann\nbob@example.com,user_2,Bob"', "ends on line 3"),
        (",user_1,Ann", "address is empty"),
        ("ann,user_1,Ann", "@-sign"),
        ("Ann <ann@example.com>,user_1,Ann", "not one plain address"),
        ("ann@example.com,,Ann", "user_id is empty"),
        ("ann@example.com,user 1,Ann", "user_id is not"),
        ("ann@example.com,user_1/../2,Ann", "user_id is not"),
        ("ann@example.com,user_é,Ann", "user_id is not"),
        (f"ann@example.com,{'u' * 65},Ann", "user_id is not"),
        ("ann@example.com,user_1,An\x00n", "first_name contains the control character U+0000"),
        ("ann@example.com,user_1,An\x1bn", "U+001B"),
        ("ann@example.com,user_1,Ann\x1c", "U+001C"),
        ("ann@example.com,user_1,An\x85n", "U+0085"),
        ("ann@example.com,user_1,An\u202en", "U+202E"),
        ("ann@exam\u2066ple.com,user_1,Ann", "U+2066"),
    ],
)
def test_a_row_that_cannot_be_mailed_says_why(tmp_path: Path, row: str, words: str) -> None:
    """A row with a wrong number of cells, address, id or character is invalid on its own, with line and reason."""
    found = read(tmp_path, f"{HEADER}\n{row}\nlast@example.com,user_9,Last\n")
    bad, good = found
    assert isinstance(bad, InvalidRow)
    assert isinstance(good, Recipient)
    assert bad.line == 2
    assert words in bad.reason
    assert bad.reason.endswith((".", "?"))


def test_an_invalid_row_tells_what_could_be_read(tmp_path: Path) -> None:
    """An invalid row keeps its key, address and id, without the characters that made it invalid."""
    row = invalid(read(tmp_path, f"{HEADER}\nann\x1b@example.com,user_1,Ann\n"))
    assert (row.key, row.email, row.user_id) == ("user_1", "ann\ufffd@example.com", "user_1")
    row = invalid(read(tmp_path, f"{HEADER}\nann@example.com,<b>,Ann\n"))
    assert (row.key, row.email, row.user_id) == ("<b>", "ann@example.com", None)
    row = invalid(read(tmp_path, f"{HEADER}\nAnn@Bücher.Example,<b>,Ann\n", key="email"))
    assert (row.key, row.email, row.user_id) == ("ann@xn--bcher-kva.example", "Ann@Bücher.Example", None)


@pytest.mark.parametrize("key", ["", "k" * 201, '"a\nb"'])
def test_a_key_must_be_there(tmp_path: Path, key: str) -> None:
    """A row whose key is empty, too long or of several lines is invalid."""
    assert (
        "key cart_id"
        in invalid(read(tmp_path, f"email,user_id,cart_id\nann@example.com,u,{key}\n", key="cart_id")).reason
    )


def test_blank_rows_are_no_rows(tmp_path: Path) -> None:
    """Empty lines and rows of empty cells are skipped, and the line numbers of the others stay right."""
    rows = read(tmp_path, f"{HEADER}\n\n,,\n  ,\u00a0,\nann@example.com,user_1,Ann\n,\n\n")
    assert only(rows).line == 5


def test_line_ends_and_tabs_in_quotes_are_text(tmp_path: Path) -> None:
    """A quoted cell may contain line ends, tabs and every printable character."""
    row = only(read(tmp_path, f'{HEADER}\nann@example.com,user_1,"Ann\n\t«Lee» {{{{ x }}}} 😀\u200f"\n'))
    assert row.variables["first_name"] == "Ann\n\t«Lee» {{ x }} 😀\u200f"


def test_rows_with_the_same_key_are_all_told(tmp_path: Path) -> None:
    """Without a group all rows of a key are returned, and the send log finds the duplicates."""
    rows = read(tmp_path, f"{HEADER}\nann@example.com,user_1,Ann\nann@example.com,user_1,Ann\n")
    assert [(row.key, row.line) for row in rows] == [("user_1", 2), ("user_1", 3)]


def test_a_lookup_reads_no_ids(tmp_path: Path) -> None:
    """With a lookup no user_id column is needed, and an existing one is only a template variable."""
    row = only(read(tmp_path, "email,name\nAnn@example.com,Ann\n", lookup="email"))
    assert (row.key, row.user_id) == ("ann@example.com", None)
    row = only(read(tmp_path, "email,user_id\nann@example.com,user 1\n", lookup="email"))
    assert (row.user_id, row.variables["user_id"]) == (None, "user 1")


def test_without_links_ids_are_not_needed(tmp_path: Path) -> None:
    """A campaign without links needs no user_id, keeps a valid one, and is refused only if its key is missing."""
    assert only(read(tmp_path, "email\nann@example.com\n", needs_user_id=False, key="email")).user_id is None
    rows = read(tmp_path, f"{HEADER}\na@example.com,user_1,A\nb@example.com,?,B\n", needs_user_id=False, key="email")
    assert [row.user_id for row in rows] == ["user_1", None]
    with pytest.raises(RecipientsError, match=r'column "user_id" is missing; \[recipients\] key names it'):
        read(tmp_path, "email\nann@example.com\n", needs_user_id=False)


def test_a_row_that_is_too_large_is_invalid(tmp_path: Path) -> None:
    """A row with a cell of 10 MB is invalid, and the other rows are read."""
    rows = read(tmp_path, f"{HEADER}\nann@example.com,user_1,{'x' * 10_000_000}\nbob@example.com,user_2,Bob\n")
    assert [(type(row), row.line) for row in rows] == [(InvalidRow, 2), (Recipient, 3)]


def test_a_fault_in_the_midst_does_not_hide(tmp_path: Path) -> None:
    """An error in the middle of a file is raised when it is reached, not at the end of the file."""
    path = tmp_path / "people.csv"
    path.write_bytes(f"{HEADER}\nann@example.com,user_1,Ann\n".encode() + b'x,y,"never\n')
    rows = read_recipients(path, RecipientsSection(file=path))
    assert isinstance(next(rows), Recipient)
    with pytest.raises(RecipientsError, match=r"people\.csv:3: "):
        next(rows)


def test_the_fingerprint_is_of_the_bytes(tmp_path: Path) -> None:
    """The fingerprint is the SHA-256 of the file's bytes, and a missing file is reported with a message."""
    path = tmp_path / "people.csv"
    path.write_bytes(b"email\r\n\xff")
    assert fingerprint(path) == hashlib.sha256(b"email\r\n\xff").hexdigest()
    with pytest.raises(RecipientsError, match="file does not exist"):
        fingerprint(tmp_path / "none.csv")


def test_addresses_are_normalised_by_one_rule() -> None:
    """The rule that normalises the addresses of rows can be used for other addresses, too."""
    assert normalise_address("Ann@EXAMPLE.com") == "Ann@example.com"
