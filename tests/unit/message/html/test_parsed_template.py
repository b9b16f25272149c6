"""Parsing a template: every Jinja tag is found, with the kind of place in which it stands."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jinja2 import TemplateSyntaxError

from campaign.message.html.parsed_template import HtmlContext, parse_template
from campaign.message.templates import environment

ENV = environment(autoescape=True)
PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "<p ",
                "<p>",
                "</p>",
                'class="',
                '"',
                "'",
                "=",
                ">",
                "<",
                "<!--",
                "-->",
                "<!--[if mso]>",
                "<![endif]-->",
                " ",
            ),
            *(
                "<style>",
                "</style>",
                "<title>",
                "</title>",
                "\n",
                "a",
                "<!DOCTYPE html>",
                "href=",
                "/",
                "<!",
                "{",
                "}",
                "%",
            ),
            *(
                "{{ x }}",
                "{{- x -}}",
                "{% if x %}{% endif %}",
                "{# {{ y }} #}",
                "{% raw %}{{ z }}{% endraw %}",
                "{{ '}}' }}",
            ),
        ]
    )
).map("".join)


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("@", HtmlContext.TEXT),
        ("<p>@", HtmlContext.TEXT),
        ("a < @", HtmlContext.TEXT),
        ("<p\n>@</p>", HtmlContext.TEXT),
        ("<p title='>'>@", HtmlContext.TEXT),
        ('<p title="a>b" @>', HtmlContext.TAG),
        ("<p @>", HtmlContext.TAG),
        ("<@>", HtmlContext.TAG),
        ("</@>", HtmlContext.TAG),
        ("<p class='@'>", HtmlContext.VALUE),
        ('<p class="a @">', HtmlContext.VALUE),
        ('<p class = "@">', HtmlContext.VALUE),
        ("<p class=@>", HtmlContext.BARE),
        ("<p class=a@>", HtmlContext.BARE),
        ("<p class= @>", HtmlContext.BARE),
        ("<p class=a @>", HtmlContext.TAG),
        ("<p class='a'@>", HtmlContext.TAG),
        ("<style>@", HtmlContext.STYLE),
        ("<STYLE media='x'>p{}@", HtmlContext.STYLE),
        ("<style></style>@", HtmlContext.TEXT),
        ("<title>@", HtmlContext.TITLE),
        ("<title></title>@", HtmlContext.TEXT),
        ("<script>'</p>'@", HtmlContext.SCRIPT),
        ("<!-- @ -->", HtmlContext.COMMENT),
        ("<!-- -->@", HtmlContext.TEXT),
        ("<!-->@", HtmlContext.TEXT),
        ("<!DOCTYPE @>", HtmlContext.COMMENT),
        ("<!DOCTYPE html>@", HtmlContext.TEXT),
        ("<br/>@", HtmlContext.TEXT),
        ("<br title=x/>@", HtmlContext.TEXT),
    ],
)
def test_the_place_of_a_tag(source: str, place: HtmlContext) -> None:
    """Each Jinja tag is located in text, an HTML tag, an attribute value, a style, a script or a comment."""
    (tag,) = parse_template(ENV, source.replace("@", "{{ x }}")).tags
    assert tag.place is place


@pytest.mark.parametrize(
    "source",
    [
        "<!--[if mso]>@<![endif]-->",
        "<!--[if gte mso 9]><p>@</p><![endif]-->",
        "<!--[if mso]>x<![endif]-->@",
        "<!--[if mso]> x -->@",
        "<!--[if !mso]><!-->@<!--<![endif]-->",
        "<!--[if !mso]><!-- -->@<!--<![endif]-->",
        "<!--[if !mso]>-->@<!--<![endif]-->",
    ],
)
def test_markup_for_outlook_is_markup(source: str) -> None:
    """Markup in a conditional comment is parsed like all other markup, since Outlook shows it."""
    (tag,) = parse_template(ENV, source.replace("@", "{{ x }}")).tags
    assert tag.place is HtmlContext.TEXT


def test_values_know_their_attribute() -> None:
    """An attribute value with Jinja tags is found with its attribute, its start and its end."""
    parts = parse_template(ENV, "<p>\n<A title='x' HREF = \"a{{ x }}b{# c #}\" class=y>")
    (value,) = parts.values
    assert value.attribute == "href"
    assert parts.source[value.start : value.end] == "a{{ x }}b{# c #}"
    assert [(tag.kind, tag.line) for tag in value.tags] == [("expression", 2), ("comment", 2)]


@given(PIECES)
def test_tags_are_cut_out_exactly(source: str) -> None:
    """Text and tags joined together give the source, and each tag starts and ends with its delimiters."""
    try:
        ENV.parse(source)
    except TemplateSyntaxError:
        assume(condition=False)
    parts = parse_template(ENV, source)
    position = 0
    for tag in parts.tags:
        assert tag.start >= position
        assert "{{ x" not in parts.source[position : tag.start]
        assert parts.text(tag)[:2] in {"{{", "{%", "{#"}
        assert parts.text(tag)[-2:] in {"}}", "%}", "#}"}
        assert parts.source.count("\n", 0, tag.start) + 1 == tag.line
        position = tag.end
