"""What the derived text part promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.message import templates
from campaign.message.plaintext import text_of, text_template, tidied

if TYPE_CHECKING:
    from jinja2 import Environment

HTML, TEXT = templates.environment(autoescape=True), templates.environment()


def rendered(env: Environment, source: str, variables: dict[str, Any]) -> str:
    """Return what a source renders."""
    return templates.render(templates.compile_source(env, source, "a"), {**env.globals, **variables})


def derived(source: str) -> str:
    """Return the template of the text part."""
    template = text_template(TEXT, source)
    assert template is not None
    return template


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", "\n"),
        ("<p>a</p><p>b</p>", "a\n\nb\n"),
        ('<a href="https://x.example/?a=1&amp;b=2">Go</a> now', "Go <https://x.example/?a=1&b=2> now\n"),
        ('<a href="https://x.example">https://x.example</a>', "https://x.example\n"),
        ("<a name=x>a</a>", "a\n"),
        ("<ul><li>a</li><li>b</li></ul>", "  * a\n  * b\n"),
        ("<table><tr><td>a</td><td>bb</td></tr><tr><td>aaaa</td><td>b</td></tr></table>", "a  bb\naaaa  b\n"),
        ("<head><title>t</title><style>p{}</style></head><body><script>x</script>a", "a\n"),
        ('<div style="display: none">a</div>b<!-- c --><!--[if mso]>d<![endif]-->', "b\n"),
        ("a<br>b &lt;c&gt; &amp;", "a\nb <c> &\n"),
        ("<p>a<p>b</div></span><td>c", "a\n\nb\n\nc\n"),
        ("a\ud800b", "a?b\n"),
        ("\x00<", "\ufffd<\n"),
    ],
)
def test_the_text_of_html(html: str, text: str) -> None:
    """Paragraphs, links, lists, tables and hidden elements become what a reader would see."""
    assert text_of(html) == text


def test_a_long_link_stays_on_one_line() -> None:
    """A link with a token of 900 characters is not broken."""
    link = "https://acme.example/?token=" + "a.b-" * 225
    assert f"Go <{link}>" in text_of(f'<table><tr><td><p>x <a href="{link}">Go</a></p></td><td>y</td></tr></table>')


@given(
    st.text()
    | st.lists(st.sampled_from(["<p", ">", "<table>", "</", "<td>", "&", "a", "<a href=", '"', "<!--"])).map("".join)
)
def test_any_html_has_a_text(html: str) -> None:
    """No HTML is so broken that deriving its text fails."""
    assert text_of(html).endswith("\n")


def test_the_text_template_keeps_statements_in_place() -> None:
    """Loops around rows, conditions, assignments before the body and links come out where they belong."""
    source = (
        "{% set y = 2 %}<html><head><title>{{ x }}</title></head><body>"
        "<div style='display:none'>{% for i in z %}{{ i }}{% endfor %}</div>"
        "<table>{% for i in z %}<tr><td>{{ i }}</td>{% if y %}<td>{{ y }}</td>{% endif %}</tr>{% endfor %}</table>"
        '<p class="{{ x }}">Hi{% if x %}, <b>{{ x }}</b>{% endif %} { {</p><a href="{{ link }}">{{ link }}</a> '
        '<!--[if mso]><a href="{{ link }}">Go</a><![endif]--><a href="{% if x %}{{ link }}{% endif %}">Go</a></body>'
    )
    text = tidied(rendered(TEXT, derived(source), {"x": "<A>", "z": [7, 8], "link": "https://l.example"}))
    lines = [line for line in text.split("\n") if line]
    assert lines == ["7  2", "8  2", "Hi, <A> { {", "https://l.example Go <https://l.example>"]


@pytest.mark.parametrize(
    "source",
    [
        "{% include 'x' %}",
        "{% block a %}{% endblock %}",
        "{% macro a() %}<p>{% endmacro %}{{ a() }}",
        "{{ x | escape }}",
        "<title>{% set x = 1 %}</title>",
        "<a href='{{ link }}'>{% if x %}a{% else %}</a>{{ b }}{% endif %}",
        "<table><tr>{% if x %}<td>a<br>b</td>{% endif %}<td>z</td></tr></table>",
        "<table><tr><td>{% if x %}a<br>b{% endif %}</td><td>z</td></tr></table>",
        "<table><tr><td>{% if x %}<br><a href='https://x.example'></a>{% endif %}</td><td>z</td></tr></table>",
        "<table><b>{% if x %}</b><tr>{{ x }}{% endif %}<td>jx0x",
    ],
)
def test_where_the_text_cannot_be_known_before(source: str) -> None:
    """Includes, macros, explicit escaping and statements across elements or lines of cells are left to each message."""
    assert text_template(TEXT, source) is None


def nested(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return elements and statements around what is given."""
    some = st.lists(children, max_size=3).map("".join)
    return st.one_of(
        st.builds("<div>{}</div>".format, some),
        st.builds("<div style='display: none'>{}</div>".format, some),
        st.builds('<p title="{{{{ x }}}}">{}</p>'.format, some),
        st.builds('<a href="https://x.example/{{{{ x }}}}">{}</a>'.format, some),
        st.builds("<table>{{% for i in y %}}<tr><td>{}</td></tr>{{% endfor %}}</table>".format, some),
        st.builds("<table><tr>{{% if x %}}<td>{}</td>{{% endif %}}<td>z</td></tr></table>".format, some),
        st.builds("{{% if x %}}{}{{% else %}}{}{{% endif %}}".format, some, some),
        st.builds("{{% for i in y %}}{}{{% endfor %}}".format, some),
        st.builds("<ul>{{% for i in y %}}<li>{}</li>{{% endfor %}}</ul>".format, some),
    )


LEAVES = st.sampled_from(
    ["{{ x }}", "text ", "<br>", "&lt;b&gt;", "<!-- {{ x }} -->", "{{ i }}", "{{ '{{' }}", "<hr>", " "]
)


@given(
    st.recursive(LEAVES, nested, max_leaves=10),
    st.sampled_from(["", "1", "<b>", "é"]),
    st.lists(st.integers(0, 2), max_size=2),
)
def test_the_text_template_renders_the_text_of_the_html(body: str, x: str, y: list[int]) -> None:
    """Apart from blanks, the derived template renders the text that each HTML would have."""
    variables = {"x": x, "y": y, "i": 5}
    source = f"<html><body>{body}</body></html>"
    template = text_template(TEXT, source)
    if template is not None:
        text = tidied(rendered(TEXT, template, variables))
        assert "".join(text.split()) == "".join(text_of(rendered(HTML, source, variables)).split())
