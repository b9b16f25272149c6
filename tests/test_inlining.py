"""What inlining CSS promises: the styles are in, and the template still says what it said."""

from __future__ import annotations

import re
from typing import Any

import css_inline
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.errors import TemplateError
from campaign.message import templates
from campaign.message.inlining import inlined

ENV = templates.environment(autoescape=True)
CSS = (
    "<style>p { color: red } .a { margin: 1px } td { padding: 2px } div { top: 0 } "
    "@media print { p { color: blue } }</style>"
)


def inline(source: str) -> str:
    """Return the source of a template with its CSS inlined."""
    return inlined(ENV, source, "a.html")


def rendered(source: str, **variables: object) -> str:
    """Return what a source renders."""
    return templates.render(templates.compile_source(ENV, source, "a.html"), {**ENV.globals, **variables})


def test_styles_are_inlined() -> None:
    """A rule becomes a style attribute; what only a style element can express stays there."""
    html = inline(f"<html><head>{CSS}</head><body><p class='a'>{{{{ x }}}}</p></body></html>")
    assert '<p class="a" style="color: red;margin: 1px;">{{ x }}</p>' in html
    assert "@media print" in html
    assert ".a {" not in html


def test_without_a_style_nothing_changes() -> None:
    """A template without `<style>` comes back as it is, also where only Outlook has one."""
    for source in ("<p>{{ x }}<br/>", "<!--[if mso]><style>p{}</style><![endif]--><P>", "{% include 'x' %}"):
        assert inline(source) == source


def test_the_document_type_and_conditional_comments_survive() -> None:
    """The whole document type and every conditional comment stand as they stood."""
    doctype = (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1.dtd">'
    )
    comment = '<!--[if mso]><v:rect href="{{ link }}" {% if x %}a{% endif %}><style>{{ y }}</style><center><![endif]-->'
    html = inline(
        f"{doctype}\n<html><head>{CSS}</head><body>{comment}<p>x</p><!--[if !mso]><!-->y<!--<![endif]--></body></html>"
    )
    assert html.startswith(f"{doctype}\n<html>")
    assert comment in html
    assert "<!--[if !mso]><!-->y<!--<![endif]-->" in html


def test_jinja_comes_back_in_its_place() -> None:
    """Tags in text, tables, values, styles, titles and comments are put back where they were."""
    body = (
        "{% set y = '<b>' %}<title>{{ y }}</title>"
        "{% for i in x %}<p title=\"{{ i }}\">{{ '{{' }}{{- i -}}</p>{% endfor %}"
        "<table>{% for i in x %}<tr>{% if i %}<td>{{ i }}</td>{% endif %}</tr>{% endfor %}</table><!-- {{ y }} -->"
        "{% raw %}{{ z }}{% endraw %}{# gone #}{{ {'a': 1}['a'] }}"
    )
    html = inline(CSS + body)
    assert re.findall(r"\{%.*?%\}|\{\{ ?-?[ixy{].*?\}\}", html)[:4] == [
        "{% set y = '<b>' %}",
        "{{ y }}",
        "{% for i in x %}",
        "{{ i }}",
    ]
    assert "jx" not in html
    assert "gone" not in html
    assert plain(rendered(html, x=[1, 0])) == plain(rendered(CSS + body, x=[1, 0]))


def test_nothing_is_added_that_is_not_written() -> None:
    """A fragment stays one, and a table gets no body of its own: it might be added inside a loop."""
    source = "<p>a</p><table>{% for i in x %}<tr><td>b</td></tr>{% endfor %}</table>"
    html = inline("<style>p { top: 0 }</style>" + source)
    assert html.endswith(source.replace("<p>", '<p style="top: 0;">'))
    assert not re.search("<(html|head|body|tbody)", html)
    source = "<table>{{ x }}<TBODY class='y'><tr><td><table><tr><td>b</td></tr></table></td></tr></TBODY></table>"
    source = source.replace("{{ x }}", "{% if x %}{% endif %}")
    assert inline("<style>p { top: 0 }</style>" + source).lower().endswith(source.lower().replace("'", '"'))


def test_a_style_attribute_with_jinja_wins_over_the_rules() -> None:
    """A style that holds tags stands behind what was inlined, so that it has the last word."""
    html = inline(CSS + '<p style="{% if x %}color: {{ x }};{% endif %}">a</p><b style="top: {{ x }}">b</b>')
    assert '<p style="color: red;{% if x %}color: {{ x }};{% endif %}">a</p>' in html
    assert '<b style="top: {{ x }}">b</b>' in html


def test_rules_stay_where_a_class_is_chosen_while_rendering() -> None:
    """Where a class or markup is not known before, the rules stay in the style element too."""
    for source in ('<p class="{{ x }}"></p>', "{% include 'x' %}", "{% block a %}{% endblock %}"):
        assert ".a {" in inline(CSS + source)


def test_a_source_that_holds_the_mark_is_no_problem() -> None:
    """Text that looks like a placeholder stays text."""
    assert "jx0x jxx1x{{ x }}" in inline(f"{CSS}<p>jx0x jxx1x{{{{ x }}}}</p>")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<style>p { color: {{ x }} }</style>", r"a\.html:1: {{ x }} stands in a <style>"),
        ("<style>p{}</style>\n<p {% if x %}class='a'{% endif %}>", r"a\.html:2: {% if x %} stands between attributes"),
        ("<style>p{}</style>\n{% if x %}<div>{% endif %}", r"a\.html:2: .* puts </div> where the template has nothing"),
        (
            "<style>p{}</style>{% if x %}<div a='1'>{% else %}<div>{% endif %}</div>",
            r"puts </div> where .* has nothing",
        ),
        ("<style>p{}</style>\n<table>{{ x }}text</table>", r"puts text where the template has <table>|line 2's"),
        ("<style>p{}</style><table>\n{% if x %}text{% endif %}</table>", r"puts text where the template has <table>"),
        (
            "<style>p{}</style><p title='a'\ntitle='{{ x }}'>",
            r"a\.html:2: .* has line 2's Jinja tag\. .* attribute once",
        ),
        ("<style>p{}</style><table>{% if x %}<tr><td>{% endif %}", r"the template has nothing"),
        ("<style>p{}</style><p style='color'>", r"a\.html: The CSS cannot be inlined"),
    ],
)
def test_what_inlining_would_break_is_refused(source: str, text: str) -> None:
    """Where a parser would move or lose a tag, or close an element in one branch only, file and line are told."""
    with pytest.raises(TemplateError, match=text):
        inline(source)


def plain(html: str) -> str:
    """Return HTML as an HTML parser sees it, without styles."""
    made = css_inline.inline(html, inline_style_tags=False)
    return re.sub(r"<style>.*?</style>| style=\"[^\"]*\"", "", made, flags=re.DOTALL)


def nested(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return elements and statements around what is given."""
    some = st.lists(children, max_size=3).map("".join)
    return st.one_of(
        st.builds("<div class='a'>{}</div>".format, some),
        st.builds('<p style="top: {{{{ x }}}}" title="{{{{ x }}}}">{}</p>'.format, some),
        st.builds("<table>{{% for i in y %}}<tr><td>{}</td></tr>{{% endfor %}}</table>".format, some),
        st.builds("<table><tr>{{% if x %}}<td>{}{{% else %}}<td>{{% endif %}}</td></tr></table>".format, some),
        st.builds("{{% if x %}}{}{{% else %}}{}{{% endif %}}".format, some, some),
        st.builds("{{% for i in y %}}{}{{% endfor %}}".format, some),
        st.builds("{{% if x %}}<div>{{% endif %}}{}{{% if x %}}</div>{{% endif %}}".format, some),
        st.builds('<ul><li class="{{% if x %}}a{{% endif %}}">{}<li></ul>'.format, some),
        st.builds("<b>{}<i></b></i>".format, some),
        st.builds("<table>{}</table>".format, some),
    )


LEAVES = st.sampled_from(
    [
        "{{ x }}",
        "text ",
        "<br>",
        "<img src='{{ x }}'>",
        "&amp;",
        "<!-- {{ x }} -->",
        "<p>",
        "{# c #}",
        "</p>",
        "<td>",
        "</div>",
        " ",
    ]
)


@given(
    st.recursive(LEAVES, nested, max_leaves=8),
    st.sampled_from(["", "1", "<b>", "é"]),
    st.lists(st.integers(0, 2), max_size=2),
)
def test_the_inlined_template_renders_the_same_document(body: str, x: str, y: list[int]) -> None:
    """Apart from styles, what the inlined template renders is to an HTML parser what the original renders."""
    variables: dict[str, Any] = {"x": x, "y": y}
    source = f"<html><head>{CSS}</head><body>{body}</body></html>"
    try:
        changed = inline(source)
    except TemplateError:
        return
    assert plain(rendered(changed, **variables)) == plain(rendered(source, **variables))
