"""Escaping: data stays data, wherever a template puts it in the HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import TemplateError
from campaign.message import templates
from campaign.message.html.escaping import with_escaping
from campaign.message.template_folder import TemplateFolder

if TYPE_CHECKING:
    from pathlib import Path

LINK = "https://acme.example/in?token=T&a=b"
SCHEMES = st.sampled_from(
    [
        *(
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            " javascript:alert(1)",
            "java\tscript:alert(1)",
            "\x01javascript:x",
        ),
        *(
            "data:text/html,<script>x</script>",
            "vbscript:x",
            "file:///etc/passwd",
            "//evil.example",
            "/x",
            "",
            "x:y",
            "&#106;",
        ),
        *(
            "javascript&colon;x",
            "https:evil",
            "https:/evil",
            "blob:x",
            "about:blank",
            "\ufeffjavascript:x",
            "\u2028data:x",
        ),
    ]
)


def rendered(source: str, **variables: object) -> str:
    """Return what a template renders with escaping."""
    env = templates.environment(autoescape=True)
    guard = with_escaping(env, source, "a.html")
    assert guard.count("\n") == source.count("\n")
    template = templates.compile_source(env, guard, "a.html")
    return templates.render(template, {**env.globals, "link": LINK, "link_to": lambda _: LINK, **variables})


@pytest.mark.parametrize(
    "source",
    [
        '<a href="{{ x }}">',
        "<a href='{{ x }}'>",
        '<A HREF = "{{ x }}">',
        '<img src="{{ x }}">',
        '<img alt="" src="{{ x }}/y">',
        '<form action="{{ x }}">',
        '<td background="{{ x }}">',
        '<a href="{% if x %}{{ x }}{% endif %}">',
        '<a href="{% for i in [1] %}{{ x }}{% endfor %}">',
        '<a href="{# c #}{{ x }}">',
        '<a href="{{ x }}:{{ link }}">',
        '<a href=" {{ x }}">',
        '<!--[if mso]><v:rect href="{{ x }}"><![endif]-->',
        '<!--[if !mso]><!--><a href="{{ x }}"><!--<![endif]-->',
        '<script></script><a href="{{ x }}">',
        '{% macro button(link) %}<a href="{{ link }}">{% endmacro %}{{ button(x) }}',
        '{% set link = x %}<a href="{{ link }}">',
        '<a href="{{ x if x else "" }}{{ x }}">',
    ],
)
@given(value=SCHEMES)
def test_an_address_made_of_data_is_a_web_address(source: str, value: str) -> None:
    """A URL attribute that comes from data accepts only the schemes of web, mail and telephone."""
    with pytest.raises(TemplateError, match="is not an address that a mail can link to"):
        rendered(source, x=value)


@pytest.mark.parametrize(
    "value", ["https://a.example/?b=c&d", "HTTP://a.example", "mailto:a@b.example", "tel:+1", "cid:1"]
)
def test_addresses_of_the_web_pass(value: str) -> None:
    """An ordinary address is inserted unchanged, except for HTML escaping."""
    assert rendered('<a href="{{ x }}">', x=value) == f'<a href="{value.replace("&", "&amp;")}">'


def test_links_pass() -> None:
    """The sign-in link and other links with the token are accepted in URL attributes."""
    source = '<a href="{{ link }}"></a><a href="{{ link_to("https://acme.example/x") }}">'
    assert rendered(source).count(f'href="{LINK.replace("&", "&amp;")}"') == 2


@pytest.mark.parametrize(
    "source",
    [
        '<a href="https://acme.example/{{ x }}">',
        '<a href="mailto:{{ x }}">',
        '<a href="{% if x %}https://a.example{% else %}https://b.example{% endif %}">',
        '<a href="{{ "https://a.example" if x else "https://b.example" }}">',
        '<p title="{{ x }}" class="{{ x }}">{{ x }}</p>',
        '<!-- {{ x }} --><title>{{ x }}</title><p href="x">{{ x }}',
    ],
)
def test_what_is_safe_costs_nothing(source: str) -> None:
    """URLs with a fixed host, values chosen by the template, and ordinary text are left unchanged."""
    env = templates.environment(autoescape=True)
    assert with_escaping(env, source, "a.html") == source


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<a\n href={{ link }}>", "a.html:2: {{ link }} is in an attribute without quotes"),
        ("<a href=x{{ x }}>", "in an attribute without quotes"),
        ("<a href={% if x %}{{ x }}{% endif %}>", "in an attribute without quotes"),
        ("<a {{ x }}>", "outside the quotes of an attribute"),
        ("<{{ x }}>", "outside the quotes of an attribute"),
        ("</{{ x }}>", "outside the quotes of an attribute"),
        ("<h{{ x }}>", "outside the quotes of an attribute"),
        ("<p data-{{ x }}='1'>", "outside the quotes of an attribute"),
        ("<script>var x = '{{ x }}'</script>", "in a script"),
        ('<p onclick="f({{ x }})">', "is in onclick"),
        ('<iframe srcdoc="{{ x }}">', "is in srcdoc"),
        ('<a href="{% if x %}{{ x }}">{% endif %}', "begins or ends in the middle of href"),
    ],
)
def test_places_where_data_could_become_markup_are_refused(source: str, text: str) -> None:
    """A value in a place where escaping cannot protect it is an error with file and line."""
    with pytest.raises(TemplateError, match=re.escape(text)):
        rendered(source, x="x")


@pytest.mark.parametrize(
    "source", ['<p style="width: {{ x }}">', "<style>p { color: {{ x }} }</style>", '<p style="{{- x -}}">']
)
def test_a_style_takes_words_and_lengths(source: str) -> None:
    """A value in a style may be a colour or a length; it cannot load anything or leave its rule."""
    for value in ("12", "40%", "#a0b1c2", "bold", "-1.5em", 3):
        assert str(value) in rendered(source, x=value)
    for value in ("url(https://evil.example)", "x}", "{", "\\75rl", "expression(1)", "/**/", "@import", "'", "<"):
        with pytest.raises(TemplateError, match="is not allowed in a style"):
            rendered(source, x=value)


def test_a_style_that_the_template_itself_chooses_is_free() -> None:
    """Style text that is written in the template itself is not checked."""
    source = """<td style="{{ loop }}{{ "background: url('https://acme.example/a')" if x else "" }}">"""
    assert "url(" in rendered(source.replace("{{ loop }}", ""), x=1)
    source = """{% for i in [1, 2] %}<td style="{{ loop.cycle("a: url(x)", "b: url(y)") }}">{% endfor %}"""
    assert rendered(source) == '<td style="a: url(x)"><td style="b: url(y)">'
    with pytest.raises(TemplateError, match="is not allowed in a style"):
        rendered(source.replace('"b: url(y)"', "x"), x="url(z)")


@given(st.text())
def test_data_in_text_and_values_adds_no_markup(value: str) -> None:
    """Whatever the data contains, the HTML has exactly the tags and quotes of its template."""
    html = rendered("<p title=\"{{ x }}\" lang='{{ x }}'>{{ x }}</p><!-- {{ x }} --><title>{{ x }}</title>", x=value)
    assert html.count("<") == 5
    assert html.count(">") == 5
    assert html.count('"') == 2
    assert html.count("'") == 2


def test_included_templates_are_guarded_too(tmp_path: Path) -> None:
    """An included template is escaped like the template that includes it."""
    (tmp_path / "a.html").write_text("{% include 'part.txt' %}", "utf-8")
    (tmp_path / "part.txt").write_text('<a href="{{ x }}">', "utf-8")
    folder = TemplateFolder(tmp_path)
    env = templates.environment(folder, prepare=with_escaping, autoescape=True)
    with pytest.raises(TemplateError, match="is not an address"):
        templates.render(env.get_template("a.html"), {"x": "javascript:x"})
    (tmp_path / "b.html").write_text("<a href=\"{% include 'address.txt' %}\">", "utf-8")
    (tmp_path / "address.txt").write_text("{{ x }}", "utf-8")
    with pytest.raises(TemplateError, match="is not an address"):
        templates.render(env.get_template("b.html"), {"x": "javascript:x"})
