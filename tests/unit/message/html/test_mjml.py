"""MJML: compiled once with its Jinja tags in place, and what is wrong is told with its line in the MJML."""

from __future__ import annotations

import re
import sys

import pytest
from jinja2 import Environment
from markupsafe import escape

from campaign.errors import TemplateError
from campaign.message.html.mjml import compile_mjml, source_line

BODY = """<mjml>
  <mj-body>
    <mj-section>
      <mj-column>
        %s
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>
"""


def compiled(source: str) -> tuple[str, tuple[int, ...]]:
    """Return the HTML template, and the source line of each of its lines."""
    done = compile_mjml(Environment(autoescape=True), source, "email.mjml")
    return done.html, done.lines


def rendered(source: str, **variables: object) -> str:
    """Return the HTML for these variables."""
    return Environment(autoescape=True).from_string(compiled(source)[0]).render(variables)


def test_the_tags_survive() -> None:
    """Expressions in text and in attributes, and statements around and inside elements, do what they say."""
    source = BODY % (
        "{% for row in rows %}\n<mj-text>{{ row }}{% if loop.last %}, the last{% endif %}</mj-text>\n{% endfor %}\n"
        '<mj-button href="{{ link }}" background-color="{% if vip %}#d4af37{% else %}#123456{% endif %}">In</mj-button>'
    )
    html = rendered(source, rows=["a", "<b>"], link="https://acme.example/?a=1&b=2", vip=True)
    assert html.lower().startswith("<!doctype html>")
    assert re.search(r"<div[^>]*>a</div>", html)
    assert re.search(r"<div[^>]*>&lt;b&gt;, the last</div>", html)
    assert f'href="{escape("https://acme.example/?a=1&b=2")}"' in html
    assert "#d4af37" in html
    assert "#123456" not in html


@pytest.mark.parametrize("inside", ["mj-body", "mj-section", "mj-column", "mj-wrapper", "mj-hero", "mj-group"])
def test_a_statement_may_stand_around_any_element(inside: str) -> None:
    """A condition around the elements of each container keeps or drops them."""
    text = "<mj-text>shown</mj-text>"
    column = f"<mj-column>{text}</mj-column>"
    section = f"<mj-section>{column}</mj-section>"
    content = {
        "mj-body": ("<mj-body>", section, "</mj-body>"),
        "mj-section": ("<mj-body><mj-section>", column, "</mj-section></mj-body>"),
        "mj-column": ("<mj-body><mj-section><mj-column>", text, "</mj-column></mj-section></mj-body>"),
        "mj-wrapper": ("<mj-body><mj-wrapper>", section, "</mj-wrapper></mj-body>"),
        "mj-hero": ("<mj-body><mj-hero>", text, "</mj-hero></mj-body>"),
        "mj-group": ("<mj-body><mj-section><mj-group>", column, "</mj-group></mj-section></mj-body>"),
    }
    before, element, after = content[inside]
    source = f"<mjml>{before}{{% if yes %}}{element}{{% endif %}}{after}</mjml>"
    assert "shown" in rendered(source, yes=True)
    assert "shown" not in rendered(source, yes=False)


def test_what_stands_outside_the_document_stays_there() -> None:
    """A `set` before the document comes first in the HTML, a raw block is kept, and a comment is left out."""
    source = (
        "{% set name = 'Ana' %}{# not sent #}\n" + BODY % "<mj-text>{{ name }} {% raw %}{{ x }}{% endraw %}</mj-text>"
    )
    html = rendered(source)
    assert "Ana {{ x }}" in html
    assert "not sent" not in html


def test_the_html_is_taken_as_it_is() -> None:
    """HTML that is no XML arrives as it was written: open paragraphs, entities, attributes without a value."""
    html = "<p>a &amp; b & c<br>d <A HREF=x disabled>e</A> <li>f &nbsp;<!-- g -->"
    assert html in rendered(BODY % f"<mj-text>{html}</mj-text>")
    assert html in rendered(BODY % f"<mj-raw>{html}</mj-raw>")


def test_the_head_does_no_harm() -> None:
    """A title with quotes breaks no attribute, styles are left for our inliner, and the preview has no colour."""
    head = (
        '<mjml><mj-head><mj-title>A "new" {{ thing }}</mj-title><mj-preview>Look</mj-preview>'
        '<mj-style inline="inline">.x { color: red }</mj-style></mj-head>'
    )
    body = BODY % "{% for each in [1, 2] %}<mj-text>{{ each }}</mj-text>{% endfor %}"
    html = rendered(head + body.removeprefix("<mjml>"), thing='"one"')
    assert 'aria-label="A &quot;new&quot; &#34;one&#34;"' in html
    assert ".x { color: red }" in html
    assert html.index(">1<") < html.index(">2<") < html.index("</table>")
    (preview,) = re.findall(r'<div style="(display:none[^"]*)">Look</div>', html)
    assert "color" not in preview
    assert "max-height:0" in preview
    assert "overflow:hidden" in preview


def test_without_mrml_the_error_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, the error is a sentence with the command."""
    monkeypatch.setitem(sys.modules, "mrml", None)
    with pytest.raises(TemplateError, match=r"pip install 'campaign\[mjml\]'"):
        compiled(BODY % "")


def test_every_tag_knows_its_line() -> None:
    """The line of each tag in the HTML leads to its line in the MJML, whatever its place there."""
    source = (
        BODY % '<mj-text>{{ a }}\n{{ b }} {{ c }}\n{{\n d\n}}</mj-text>\n<mj-button href="{{ e }}">{{ f }}</mj-button>'
    )
    html, lines = compiled(source)
    for name in "abcdef":
        at = next(number for number, line in enumerate(html.split("\n"), start=1) if re.search(rf"\b{name}\s*$", line))
        wanted = next(n for n, line in enumerate(source.split("\n"), start=1) if re.search(rf"\{{?\s{name}\b", line))
        assert source_line({"email.mjml": lines}, "email.mjml", at) == wanted, name
    assert source_line({}, "email.html", 7) == 7
    assert source_line({"email.mjml": lines}, "email.mjml", 10_000) == lines[-1]


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        (BODY % "<mj-txt>Hello</mj-txt>", 5, "<mj-txt> is not an element of MJML; did you mean <mj-text>?"),
        (
            BODY % '<mj-text\n colour="red">Hello</mj-text>',
            6,
            "colour is not an attribute of <mj-text>; did you mean color?",
        ),
        (BODY % "<p>Hello</p>", 5, "put HTML into <mj-text> or <mj-raw>"),
        (BODY % "<mj-unheard></mj-unheard>", 5, "not an element of MJML"),
        (BODY % "Hello", 5, "'Hello' stands between two elements"),
        (BODY % "{{ hello }}", 5, "{{ hello }} stands between two elements; put it into <mj-text>"),
        (BODY % "<mj-column></mj-column>", 5, "<mj-column> cannot stand in <mj-column>; put it into <mj-"),
        (BODY % '<mj-include path="x.mjml" />', 5, "<mj-include> cannot be used here; write {% include"),
        (BODY % "<mj-text>Hello", 5, "<mj-text> is not closed"),
        (BODY % "</mj-text>", 5, "</mj-text> closes an element that is not open here; </mj-column> was expected"),
        ("{# a\nb #}" + BODY % "<mj-txt />", 6, "did you mean <mj-text>?"),
        ("<mjml>\n<mj-body>\n", 2, "<mj-body> is not closed"),
        ("<p>Hello</p>", 1, "not an element of MJML"),
        ("Hello", 1, "it begins with <mjml>"),
        ("", 1, "it begins with <mjml>"),
        ("<mjml>\n{% if x %}<mj-body></mj-body>{% endif %}</mjml>", 2, "cannot stand directly in <mjml>"),
        (
            "<mjml>\n<mj-head>\n{% if x %}<mj-style>p{}</mj-style>{% endif %}</mj-head></mjml>",
            3,
            "directly in <mj-head>",
        ),
        (BODY % "<mj-button {% if x %}href='y'{% endif %}>In</mj-button>", 5, "outside the quotes of an attribute"),
        (BODY % '<mj-image src="a.png"\n width="{{ w }}px" />', 6, "a place that MJML leaves out or computes with"),
        (BODY % "<mj-text\n align>x</mj-text>", 5, 'must be written name="value"'),
        (BODY % "<mj-text align='a\"b'>x</mj-text>", 5, "with &quot; for a quote"),
        (BODY % "<mj-text>zqtag00000zq</mj-text>", 5, "reserved word"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(source: str, line: int, words: str) -> None:
    """An element that MJML would leave out in silence, or a tag that cannot survive, is an error with its line."""
    with pytest.raises(TemplateError) as caught:
        compiled(source)
    assert f"email.mjml:{line}: " in str(caught.value)
    assert words in str(caught.value)


def test_nothing_is_fetched_by_default() -> None:
    """The HTML names no font of another host unless mj-font does."""
    html = compiled(BODY % "<mj-text>x</mj-text>")[0]
    assert set(re.findall(r"https?://([^/\"]+)", html)) <= {"www.w3.org"}
    head = '<mj-head><mj-font name="Acme" href="https://acme.example/f.css" /></mj-head>'
    text = '<mj-text font-family="Acme">x</mj-text>'
    assert "https://acme.example/f.css" in compiled((BODY % text).replace("<mjml>", f"<mjml>{head}"))[0]
