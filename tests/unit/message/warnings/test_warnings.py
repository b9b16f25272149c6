"""Warnings about classic accidents: each is found, with its place, and sound templates and values give none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from campaign.config.definition import load_definition
from campaign.message import MessageTemplate
from campaign.message.warnings import MessageWarnings
from campaign.model import Recipient

if TYPE_CHECKING:
    from pathlib import Path

DATE = datetime(2026, 1, 2, tzinfo=UTC)
CLEAN = '<p>Hi {{ name }},</p><p><a href="{{ link }}">in</a></p>'


def examined(
    folder: Path, rows: list[dict[str, Any]], *, html: str = CLEAN, subject: str = "Hello", text: str | None = None
) -> MessageWarnings:
    """Return the warnings about a campaign with these templates and rows, the first of which is on line 2."""
    (folder / "email.html").write_text(html, "utf-8")
    if text is not None:
        (folder / "email.txt").write_text(text, "utf-8")
    (folder / "campaign.toml").write_text(
        'name = "trial"\n[recipients]\nfile = "people.csv"\n[email]\nfrom = "hello@acme.example"\n'
        f"subject = '{subject}'\nhtml = \"email.html\"\n"
        + ('text = "email.txt"\n' if text is not None else "")
        + '[link]\nurl = "https://acme.example/in"\nexpires_in = "1h"\n',
        "utf-8",
    )
    (folder / "people.csv").write_text("", "utf-8")
    definition = load_definition(folder / "campaign.toml")
    template = MessageTemplate.load(definition)
    found = MessageWarnings(template, definition.recipients.file)
    for line, variables in enumerate(rows, start=2):
        row = Recipient(f"k{line}", f"u{line}@example.com", None, variables, line)
        message = template.compose(
            row.variables, email=row.email, message_id="<a@acme.example>", date=DATE, token="t" * 40
        )
        found.examine(row, message)
    return found


def warnings(folder: Path, rows: list[dict[str, Any]], **templates: Any) -> list[str]:  # noqa: ANN401 - as `examined`
    """Return the warnings, without the folder."""
    return [line.replace(f"{folder}/", "") for line in examined(folder, rows, **templates).lines()]


def only(found: list[str]) -> str:
    """Return the only warning."""
    (line,) = found
    return line


def test_a_sound_campaign_has_no_warning(tmp_path: Path) -> None:
    """Ordinary values and templates give no warning, even if a value is empty where that is provided for."""
    html = (
        "<style>p { color: red } @media (max-width: 9px) { p { color: blue !important } }</style>"
        "<p>Hi{% if name %} {{ name }}{% endif %},</p><p>100% off, [1], ${{ price | number }}</p>"
        '{{ city | default("", true) }}'
        '{% if vip == "no" %}x{% endif %}<a href="{{ link }}">in</a><a href="#top">top</a>'
        '<a href="mailto:a@acme.example">m</a>'
        '<img src="https://acme.example/%C3%A9.png" alt="x"><a href="{{ site }}">s</a>'
        "{% if items | length == 1 %}y{% endif %}"
    )
    rows: list[dict[str, Any]] = [
        {"name": "São João, Ânia", "price": "12", "city": "", "vip": "no", "site": "https://x.example/", "items": []},
        {"name": "", "price": "0", "city": "Nantes", "vip": "yes", "site": "https://x.example/", "items": []},
    ]
    assert warnings(tmp_path, rows, html=html, subject="Hi {{ city }}") == []


@pytest.mark.parametrize(
    "value", ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "NaN", "nan", "NULL", "null", "None", "undefined", "\\N"]
)
def test_a_value_that_stands_for_a_missing_one(tmp_path: Path, value: str) -> None:
    """What spreadsheets and databases write for a missing value is named, with the rows and the template's line."""
    rows = [{"name": "Ada"}, {"name": value}, {"name": value}]
    line = only(warnings(tmp_path, rows))
    assert line.startswith(f'people.csv:3: name is "{value}", which stands for a missing value; email.html:1 prints it')
    assert line.endswith("(2 rows: lines 3, 4)")


@pytest.mark.parametrize("value", ["Zo\ufffd", "ZoÃ«", "OrÃ©al", "JosÃ©", "10Â\u00a0€", "ï»¿Ada", "BjÃ¶rn"])
def test_characters_that_were_lost(tmp_path: Path, value: str) -> None:
    """A replacement character, or UTF-8 that was read as Windows-1252, is named; the same letters in a word are not."""
    line = only(warnings(tmp_path, [{"name": value}, {"name": "ÂME MAÇÃ São"}]))
    assert line.startswith("people.csv:2: name holds ")
    assert "email.html:1 prints it. Export the data again" in line


def test_only_what_is_printed_matters(tmp_path: Path) -> None:
    """A column that no template prints may hold anything; a group's rows are looked at like a row."""
    rows = [{"name": "Ada", "note": "#N/A", "items": [{"item": "#REF!", "other": "NULL"}]}]
    assert warnings(tmp_path, rows) == []
    line = only(warnings(tmp_path, rows, html=CLEAN + "\n{% for row in items %}{{ row.item }}{% endfor %}"))
    assert line.startswith('people.csv:2: item is "#REF!", which stands for a missing value; email.html:2 prints it')


@pytest.mark.parametrize(
    ("html", "subject", "words"),
    [
        ("<p>Hi {{ name }},</p>", "Hello", "'Hi ,' in the text"),
        ("<p>Dear {{ name }}!</p>", "Hello", "'Dear !' in the text"),
        ("<p>Welcome back {{ name }},</p>", "Hello", "'Welcome back ,' in the text"),
        ("<p>Hello</p>", "Hello {{ name }}, you are in", "'Hello , you are in' in the subject"),
        ("<p>Hello</p>", "{{ name }}, you are in", "', you are in' in the subject"),
    ],
)
@pytest.mark.parametrize("text", [None, "{{ link }}"])
def test_a_greeting_without_a_name(tmp_path: Path, html: str, subject: str, words: str, text: str | None) -> None:
    """An empty value that leaves a hole in a greeting is named with the words that a reader would see."""
    html += '<a href="{{ link }}">in</a>'
    line = only(warnings(tmp_path, [{"name": "Ada"}, {"name": ""}], html=html, subject=subject, text=text))
    assert line.startswith(f"people.csv:3: an empty value leaves {words}; the empty columns are name. Write {{{{ name")


@pytest.mark.parametrize("name", ["default", "d"])
def test_a_default_that_an_empty_value_passes(tmp_path: Path, name: str) -> None:
    """`default` without `true` does not replace an empty value; with it there is no warning."""
    html = f'\n<b>{{{{ city | {name}("x") }}}}</b>{CLEAN}'
    line = only(warnings(tmp_path, [{"name": "Ada", "city": ""}], html=html))
    assert line.startswith("people.csv:2: city is empty, and at email.html:2 `default` replaces only a missing column")
    html = f'\n<b>{{{{ city | {name}("x", true) }}}}{{{{ city | {name}("x", boolean=true) }}}}</b>{CLEAN}'
    assert warnings(tmp_path, [{"name": "Ada", "city": ""}], html=html) == []


@pytest.mark.parametrize("value", ["FALSE", "false", "0", "no", "No", "off", "nein"])
@pytest.mark.parametrize("test", ["vip", "not vip", "vip and name"])
def test_a_no_that_is_true(tmp_path: Path, value: str, test: str) -> None:
    """A text such as FALSE or 0 is true in `{% if %}`, and is named with the place of the test."""
    html = f"{CLEAN}\n{{% if {test} %}}x{{% endif %}}"
    line = only(warnings(tmp_path, [{"name": "Ada", "vip": value}, {"name": "Bo", "vip": "yes"}], html=html))
    assert line.startswith(f'people.csv:2: vip is "{value}", which is true in {{% if vip %}} at email.html:2')


@pytest.mark.parametrize("name", ["float", "int"])
def test_a_number_that_becomes_nought(tmp_path: Path, name: str) -> None:
    """`float` and `int` make 0 of a number with a thousands separator, which is named."""
    html = f"{CLEAN}{{{{ price | {name} }}}}"
    rows = [{"name": "Ada", "price": "1,234.50"}, {"name": "Bo", "price": "3"}]
    line = only(warnings(tmp_path, rows, html=html))
    assert line.startswith("people.csv:2: price is not written as a plain number, so at email.html:1 `float` or `int`")


def test_a_text_that_is_compared_with_a_number(tmp_path: Path) -> None:
    """`{% if qty == 1 %}` is never true, because values are text; the warning has the template's line."""
    html = CLEAN + "\n{% if qty == 1 %}one{% endif %}{% for i in range(2) %}{{ 'x' if i == 1 }}{% endfor %}"
    line = only(warnings(tmp_path, [{"name": "Ada", "qty": "1"}], html=html))
    assert line.startswith("email.html:2: qty is compared with the number 1, but values of a CSV are text")


@pytest.mark.parametrize(
    "leftover",
    ["*|FNAME|*", "%FIRST_NAME%", "[[first_name]]", "%%name%%", "<%= name %>", "${name}", "{$name}", "[[data:name]]"],
)
def test_a_placeholder_of_another_tool(tmp_path: Path, leftover: str) -> None:
    """A placeholder of another tool would be sent as it is; it is named with its line, in the text part, too."""
    line = only(warnings(tmp_path, [{"name": "Ada"}], html=f"{CLEAN}\n<p>Dear {leftover}</p>"))
    assert line.startswith(f"email.html:2: {leftover} is a placeholder of another tool")
    line = only(warnings(tmp_path, [{"name": "Ada"}], text=f"{{{{ link }}}}\n\nDear {leftover}"))
    assert line.startswith(f"email.txt:3: {leftover} is a placeholder of another tool")


@pytest.mark.parametrize(
    ("html", "attribute"),
    [
        ('<img alt="x" src="images/a.png">', 'src="images/a.png"'),
        ("<a href='/cart'>c</a>", 'href="/cart"'),
        ('<td background="//cdn.example/a.png">', 'background="//cdn.example/a.png"'),
        ('<link rel="stylesheet" href="style.css">', 'href="style.css"'),
    ],
)
def test_an_address_that_is_relative(tmp_path: Path, html: str, attribute: str) -> None:
    """A relative address is named with its line: a mail has no page to which it could be relative."""
    line = only(warnings(tmp_path, [{"name": "Ada"}], html=f"{CLEAN}\n\n{html}"))
    assert line.startswith(f"email.html:3: {attribute} is relative")


def test_html_that_gmail_clips(tmp_path: Path) -> None:
    """HTML of more than 102 kB is named with the number of rows; bytes count, not characters."""
    html = CLEAN + "{{ note }}"
    assert warnings(tmp_path, [{"name": "Ada", "note": "x" * 100_000}], html=html) == []
    rows = [{"name": "Ada", "note": "é" * 60_000}, {"name": "Bo", "note": "x" * 110_000}]
    line = only(warnings(tmp_path, rows, html=html))
    assert line.startswith("people.csv:2: the HTML has more than 102 kB, so Gmail shows only the beginning")
    assert line.endswith("(2 rows: lines 2, 3)")


@pytest.mark.parametrize("important", [" !important", "!important", " ! IMPORTANT"])
def test_importance_that_no_media_rule_can_win_over(tmp_path: Path, important: str) -> None:
    """A base rule's `!important` is inlined, so a `@media` rule for the same has no effect; the line is named."""
    css = (
        f"\n.box {{ color: red;\n width: 600px{important} }}\np {{ margin: 0{important} }}\n"
        "@media (max-width: 480px) { .box { width: 100% !important } a { margin: 1px !important } }"
    )
    html = f"<style>{css}</style>{CLEAN}"
    line = only(warnings(tmp_path, [{"name": "Ada"}], html=html))
    assert line.startswith("email.html:3: width of .box is !important and is inlined so, which no @media rule can win")
    assert warnings(tmp_path, [{"name": "Ada"}], html=f"<style>{css.replace(important, '', 1)}</style>{CLEAN}") == []


def test_where_link_to_leads_by_a_column(tmp_path: Path) -> None:
    """The number of distinct paths that a column brings to `link_to` is named, with the columns and their places."""
    html = CLEAN + "\n<a href=\"{{ link_to('https://acme.example/c/' ~ cart) }}\">c</a>"
    rows = [{"name": "Ada", "cart": str(n % 4)} for n in range(9)]
    paths = examined(tmp_path, rows, html=html).paths.replace(f"{tmp_path}/", "")
    assert paths == "link_to leads to 4 paths (/c/0, /c/1, /c/2, …) by the columns cart (email.html:2)"
    html = html.replace("https://acme.example/c/", "/c/").replace("~ cart", "~ cart ~ '?answer=1'")
    behind = examined(tmp_path, rows, html=html).paths.replace(f"{tmp_path}/", "")
    assert behind == paths
    fixed = CLEAN + "<a href=\"{{ link_to('https://acme.example/help') }}\">c</a>"
    assert examined(tmp_path, rows, html=fixed).paths == ""
