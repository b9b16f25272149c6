"""A campaign whose HTML is MJML: the whole message, and errors that name the lines of the .mjml file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from campaign.config.definition import load_definition
from campaign.errors import TemplateError
from campaign.message import MessageTemplate
from campaign.message.warnings import MessageWarnings

if TYPE_CHECKING:
    from pathlib import Path

FILE = """name = "trial"
[recipients]
file = "people.csv"
[email]
from = "hello@acme.example"
subject = "Hello"
html = "email.mjml"
[link]
url = "https://acme.example/welcome"
expires_in = "48h"
"""
MJML = """<mjml>
  <mj-head>
    <mj-title>Your cart</mj-title>
    <mj-preview>{{ items | length }} things are waiting</mj-preview>
    <mj-attributes><mj-all font-family="Arial" /><mj-class name="big" font-size="20px" /></mj-attributes>
    <mj-style>.total { font-weight: bold } @media (max-width: 480px) { .total { color: #111111 } }</mj-style>
  </mj-head>
  <mj-body>
    <mj-section>
      <mj-column>
        <mj-text mj-class="big">Hello {{ first_name }}</mj-text>
        {% for item in items %}
        <mj-text>{{ item.name }}: {{ item.price | money("€") }}<br>and more</mj-text>
        {% endfor %}
        <mj-table><tr><td class="total">Total</td></tr></mj-table>
        <mj-image src="{{ cid("logo.png") }}" alt="Acme" width="100px" />
        <mj-button href="{{ link }}">Back to my cart</mj-button>
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>
"""
ROW = {"first_name": "<Ana>", "items": [{"name": "Tea", "price": "2.5"}, {"name": "Cup", "price": "9"}]}


def loaded(folder: Path, mjml: str = MJML) -> MessageTemplate:
    """Return the compiled message of a campaign with this MJML."""
    (folder / "campaign.toml").write_text(FILE)
    (folder / "email.mjml").write_text(mjml, "utf-8")
    (folder / "logo.png").write_bytes(b"\x89PNG")
    return MessageTemplate.load(load_definition(folder / "campaign.toml"))


def html_of(template: MessageTemplate) -> tuple[str, str]:
    """Return HTML and text of the row's message."""
    message = template.compose(
        ROW, email="a@b.example", message_id="<1@b.example>", date=datetime(2025, 3, 1, tzinfo=UTC), token="T0k"
    )
    return message.html, message.text


def test_a_mail_is_made_from_mjml(tmp_path: Path) -> None:
    """The message has the data escaped, the loop, the link, the image, inlined CSS, and a text part."""
    template = loaded(tmp_path)
    assert set(template.variables_used()) == {"first_name", "items"}
    html, text = html_of(template)
    assert "Hello &lt;Ana&gt;" in html
    assert "Cup: €9.00" in html
    assert 'href="https://acme.example/welcome?token=T0k&amp;hint=' in html
    assert 'src="cid:' in html
    assert "font-weight: bold" in html.split("</head>")[1]
    assert "2 things are waiting" in html
    assert "mj-" not in html.replace("mj-column-per-100", "").replace("mj-full-width-mobile", "").replace(
        "mj-outlook-group-fix", ""
    )
    assert "zqtag" not in html
    assert "Back to my cart <https://acme.example/welcome?token=T0k&hint=" in text
    assert "things are waiting" not in text, "the preview is hidden"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("{{ first_name }}", "{{ frist_name }}", 11, "did you mean first_name?"),
        ("item.price | money", "item.prize | money", 13, "did you mean price?"),
        ("item.price | money", "item.price | monkey", 13, "No filter named 'monkey'"),
        ("{% endfor %}", "{% endif %}", 14, "unknown tag 'endif'"),
        ("Back to", "<script>{{ first_name }}</script>", 17, "is in a script"),
        ("{{ link }}", "{{ link | upper }}", 17, "the filter upper would alter the token"),
        ("{{ first_name }}", "{{ first_name | safe }}", 11, "The filter safe"),
        ("{{ first_name }}", "{{#if first_name}}", 11, "is Handlebars"),
        ('href="{{ link }}"', 'href="{{ first_name }}"', 17, "is not an address that a mail can link to"),
        ("{% for item in items %}", "{% for item in itemz %}", 12, "did you mean items?"),
        ("mj-table>", "mj-tabel>", 15, "did you mean <mj-table>?"),
        ("logo.png", "loga.png", 16, "does not exist"),
        ("Hello", '{% include "none.html" %}', 11, "does not exist"),
    ],
)
def test_an_error_names_the_line_in_the_mjml(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    """Wrong syntax, a wrong variable or data in a wrong place is told by its line in the .mjml file."""
    mjml = MJML.replace(old, new)
    if 'href="{{ first_name' in new:
        mjml = mjml.replace("Back to my cart", "{{ link }}")
    with pytest.raises(TemplateError) as caught:
        html_of(loaded(tmp_path, mjml))
    assert f"email.mjml:{line}: " in str(caught.value), caught.value
    assert words in str(caught.value)


def test_a_part_in_html_is_included(tmp_path: Path) -> None:
    """An HTML file of the folder is included as in any template, with its data."""
    (tmp_path / "part.html").write_text("<b>{{ first_name }}</b>")
    html, _ = html_of(loaded(tmp_path, MJML.replace("Hello", '{% include "part.html" %}')))
    assert "<b>&lt;Ana&gt;</b>" in html


def test_an_accident_is_told_by_its_line_in_the_mjml(tmp_path: Path) -> None:
    """A relative address and a placeholder of another tool are found in the MJML as it was written."""
    mjml = MJML.replace('{{ cid("logo.png") }}', "logo.png").replace("and more", "*|FNAME|*")
    lines = list(MessageWarnings(loaded(tmp_path, mjml), tmp_path / "people.csv").lines())
    assert [line.partition(" ")[0] for line in lines] == [f"{tmp_path}/email.mjml:{number}:" for number in (13, 16)]
