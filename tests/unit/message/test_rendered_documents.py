"""Rendered mails: the HTML is the rendered template with its CSS inlined, and the text has the same words.

The oracles here share no code with the program: Jinja2 alone renders, css-inline alone inlines, and the standard
library's HTML parser says which words a reader sees.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import css_inline
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader, Environment

from campaign.message.renderer import LinkData, Renderer

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.config.definition import Definition

#: Every kind of selector that the style sheet of a mail uses.
CSS = (
    "p { color: red } .a { margin: 1px } td:empty { top: 1px } tr:last-child { top: 2px } li:first-child { top: 3px } "
    "p + p { top: 4px } #i { top: 5px } @media (max-width: 480px) { p { color: blue } } a:hover { color: green }"
)
#: Files that a template extends, includes and imports.
FILES = {
    "base.html": (
        f"<!DOCTYPE html><html><head><style>{CSS}</style></head><body>{{% block content %}}{{% endblock %}}"
        "<p>foot</p></body></html>"
    ),
    "part.html": "<p>part {{ x }}</p>",
    "macros.html": "{% macro cell(value) %}<td>{{ value }}</td>{% endmacro %}",
}
VOID = frozenset({"br", "img", "meta", "link", "hr", "input", "col", "wbr"})
#: Elements that do not start a new word.
INLINE = frozenset({"a", "b", "i", "em", "strong", "span", "font", "u", "small"})
UNSEEN = frozenset({"style", "script", "title", "head"})

words = st.sampled_from(
    ["one", "two", "{{ x }}", "{{ y }}", "{{- x }}", "{{ x -}}", "<b>bo</b>ld", " ", "&amp;", "<br>"]
)
phrases = st.lists(words, max_size=4).map("".join)
blocks = st.recursive(
    phrases.map("<p>{}</p>".format)
    | phrases.map("<p class='a' id='i'>{}</p>".format)
    | phrases.map("<pre>{}</pre>".format)
    | phrases.map("<center>{}</center>".format)
    | phrases.map("<ul><li>{}</li>{{% for n in y %}}<li>{{{{ n }}}}</li>{{% endfor %}}</ul>".format)
    | phrases.map("<dl><dt>{}</dt><dd>d</dd></dl>".format)
    | phrases.map("<table>{{% for n in y %}}<tr><td></td><td>{{{{ n }}}} {}</td></tr>{{% endfor %}}</table>".format)
    | phrases.map("<a href='https://x.example/{{{{ x }}}}'>{}</a> ".format)
    | st.sampled_from(
        [
            "{% include 'part.html' %}",
            "{% from 'macros.html' import cell %}<table><tr>{{ cell(x) }}</tr></table>",
            '<!--[if mso]><table class="a"><tr><td>{{ x }}<![endif]-->',
            "<!--[if !mso]><!-- --><p>modern</p><!--<![endif]-->",
            "<!--[if !mso]><!--><p>modern</p><!--<![endif]-->",
            "{# comment #}<!-- comment -->",
            "<div style='display:none'>hidden {{ x }}</div>",
            "<a href='https://x.example/b'><img src='https://x.example/b.png' alt='Button'></a> ",
        ]
    ),
    lambda inner: (
        st.tuples(inner, inner).map(
            lambda two: (
                f"{{% if x -%}} {two[0]} {{%- else %}}<p>{two[1]}</p>{{% endif %}}".replace("<p><p>", "<div><p>")
                if "<p" not in two[1]
                else f"{{% if x %}}{two[0]}{{% else %}}<div>{two[1]}</div>{{%- endif %}}"
            )
        )
        | st.lists(inner, min_size=1, max_size=3).map("\n".join)
        | inner.map("<section>{}</section>".format)
        | inner.map("{{% for n in y %}}<div class='a'>{}</div>{{% endfor %}}".format)
    ),
    max_leaves=6,
)
documents = st.tuples(blocks, st.sampled_from(["", "extends", "style", "print"])).map(lambda two: _document(*two))


def _document(body: str, kind: str) -> str:
    if kind == "extends":
        return f"{{% extends 'base.html' %}}{{% block content %}}{body}{{% endblock %}}"
    media = ' media="print"' if kind == "print" else ""
    head = f"<head><title>t</title><style{media}>{CSS}</style></head>" if kind else "<head></head>"
    return f"<!DOCTYPE html><html>{head}<body>{body}</body></html>"


def renderer(folder: Path, html: str) -> Renderer:
    """Return the renderer of a campaign with this HTML, and without text template and link."""
    for name, source in {**FILES, "email.html": html}.items():
        (folder / name).write_text(source, "utf-8")
    email = SimpleNamespace(sender="a@acme.example", reply_to=None, subject="s", html=folder / "email.html", text=None)
    made = SimpleNamespace(
        path=folder / "campaign.toml", name="x", email=email, unsubscribe=None, mailing_list="x", link=None
    )
    return Renderer(cast("Definition", made))


class _Reader(HTMLParser):
    """Collects the words that a reader sees, each link followed by its address."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._open: list[tuple[str, bool, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember whether the element hides its content."""
        given = dict(attrs)
        hides = tag in UNSEEN or "display:none" in (given.get("style") or "")
        if tag not in INLINE:
            self.seen.append(" ")
        if tag == "img" and not self._hidden:
            self.seen.append(given.get("alt") or "")
        if tag not in VOID:
            self._open.append((tag, hides, given.get("href") or ""))

    def handle_endtag(self, tag: str) -> None:
        """Close the element."""
        while self._open:
            name, _, address = self._open.pop()
            if name == "a" and address and not self._hidden:
                self.seen.append(f" <{address.replace(' ', '%20')}>")
            if name not in INLINE:
                self.seen.append(" ")
            if name == tag:
                break

    def handle_data(self, data: str) -> None:
        """Keep visible text."""
        if not self._hidden:
            self.seen.append(data)

    @property
    def _hidden(self) -> bool:
        return any(hides for _, hides, _ in self._open)


def words_seen(html: str) -> list[str]:
    """Return the words that a reader sees in an HTML document."""
    reader = _Reader()
    reader.feed(re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL))
    reader.close()
    return "".join(reader.seen).split()


def words_of(text: str) -> list[str]:
    """Return the words of a text part, without list bullets."""
    return re.sub(r"^\s*• ?", "", text, flags=re.MULTILINE).split()


@given(documents, st.sampled_from(["", "Ada", "<b>", "a & b"]), st.lists(st.sampled_from(["1", "zwei"]), max_size=3))
def test_the_mail_is_the_rendered_template(
    tmp_path_factory: pytest.TempPathFactory, source: str, x: str, y: list[str]
) -> None:
    """The HTML equals the rendered template with inlined CSS, and the text has the same words in the same order."""
    folder = tmp_path_factory.getbasetemp()
    values = {"x": x, "y": y}
    env = Environment(loader=DictLoader({**FILES, "email.html": source}), autoescape=True)
    plain = env.get_template("email.html").render(values)
    made = renderer(folder, source).render(values, LinkData(None))
    if "<style>" in plain:
        inliner = css_inline.CSSInliner(
            keep_style_tags=True,
            keep_at_rules=True,
            load_remote_stylesheets=False,
            remove_inlined_selectors='<table class="a"' not in plain,
        )
        assert made.html == inliner.inline(plain)
    else:
        assert made.html == plain
    assert words_of(made.text) == words_seen(plain)


#: Common forms of templates: the template, rendered with `first_name`, parts of the HTML, the text.
# ruff: noqa: E501, ISC004 - templates and texts are easier to read on one line
CORPUS: dict[str, tuple[str, str, list[str], str]] = {
    "whitespace control": (
        "<p>Hi{% if first_name %} {{ first_name }}{% endif %},</p>",
        "Ada",
        ["Hi Ada,"],
        "Hi Ada,\n",
    ),
    "whitespace control, empty": ("<p>Hi{% if first_name %} {{ first_name }}{% endif %},</p>", "", ["Hi,"], "Hi,\n"),
    "stripped statements": (
        "<p>one</p>\n{%- if first_name -%}\n<p>two</p>\n{%- endif -%}\n<p>three</p>",
        "Ada",
        ["<p>one</p><p>two</p><p>three</p>"],
        "one\n\ntwo\n\nthree\n",
    ),
    "a break in one branch": (
        "<p>one{% if first_name %}<br>two{% endif %}<br>three</p>",
        "Ada",
        ["one<br>two<br>three"],
        "one\ntwo\nthree\n",
    ),
    "a phone's style": (
        '<style media="only screen and (max-width:480px)">.c { display: none }</style><p class="c">kept</p>',
        "",
        ['<p class="c">kept</p>', "max-width:480px"],
        "kept\n",
    ),
    "both branches of Outlook": (
        "<style>p { top: 0 }</style><!--[if mso]><p>Outlook {{ first_name }}</p><![endif]-->"
        "<!--[if !mso]><!-- --><p>others {{ first_name }}</p><!--<![endif]-->",
        "Ada",
        ["<!--[if mso]><p>Outlook Ada</p><![endif]-->", '<p style="top: 0;">others Ada</p>'],
        "others Ada\n",
    ),
    "a condition closed by //": (
        "<!--[if !mso]><!--//--><p>others</p><!--<![endif]-->",
        "",
        ["<p>others</p>"],
        "others\n",
    ),
    "a ghost table": (
        "<style>td { padding: 0 } .w { width: 600px }</style>"
        '<!--[if mso]><table class="w"><tr><td><![endif]--><div class="w"><p>{{ first_name }}</p></div>'
        "<!--[if mso]></td></tr></table><![endif]-->",
        "Ada",
        ['<!--[if mso]><table class="w"><tr><td><![endif]-->', '<div class="w" style="width: 600px;">', "td { padding"],
        "Ada\n",
    ),
    "MJML": (
        '<style type="text/css">#outlook a { padding:0; } p { display:block;margin:13px 0; }</style>'
        '<div style="background-color:#fff;"><!--[if mso | IE]><table align="center" width="600"><tr><td><![endif]-->'
        '<div style="margin:0px auto;max-width:600px;"><table role="presentation" style="width:100%;"><tbody><tr>'
        '<td style="direction:ltr;font-size:0px;padding:20px 0;text-align:center;">'
        '<div class="mj-column-per-100" style="font-size:0px;text-align:left;"><table role="presentation"><tbody>'
        '<tr><td style="font-size:0px;padding:10px 25px;word-break:break-word;">'
        '<div style="font-family:Arial;font-size:13px;line-height:1;">Hello {{ first_name }}</div></td></tr>'
        '<tr><td style="font-size:0px;"><a href="https://x.example/in" style="font-size:13px;">Sign in</a></td></tr>'
        "</tbody></table></div></td></tr></tbody></table></div><!--[if mso | IE]></td></tr></table><![endif]--></div>",
        "Ada",
        ["Hello Ada</div>", '<!--[if mso | IE]><table align="center" width="600"><tr><td><![endif]-->'],
        "Hello Ada\nSign in <https://x.example/in>\n",
    ),
    "an attribute with a tag before its class": (
        "<style>.c { top: 0 }</style><p {% if first_name %}title='x'{% endif %} class='c'>a</p>",
        "Ada",
        ['<p class="c" title="x" style="top: 0;">a</p>'],
        "a\n",
    ),
    "a class chosen while rendering": (
        '<style>.gold { top: 0 } .grey { top: 1px }</style><p class="{% if first_name %}gold{% else %}grey{% endif %}">a</p>',
        "",
        ['<p class="grey" style="top: 1px;">a</p>'],
        "a\n",
    ),
    "a row in one branch": (
        "<style>td { top: 0 }</style><table>{% if first_name %}<tr><td>{% endif %}a</table>",
        "Ada",
        ['<td style="top: 0;">a</td>'],
        "a\n",
    ),
    "preformatted text": (
        "<pre>{% for n in '12' %}{{ n }}\n  {{ n }}\n{% endfor %}</pre>",
        "",
        ["1\n  1"],
        "1\n  1\n2\n  2\n",
    ),
    "inlined hiding": (
        "<style>.p { display: none !important }</style><div class='p'>preview</div><p>Hello</p>",
        "",
        ["display: none"],
        "Hello\n",
    ),
}


@pytest.mark.parametrize("name", CORPUS)
def test_forms_that_templates_have(tmp_path: Path, name: str) -> None:
    """Each common form of template arrives as its author meant it, in HTML and in text."""
    source, first_name, pieces, text = CORPUS[name]
    made = renderer(tmp_path, source).render({"first_name": first_name}, LinkData(None))
    for piece in pieces:
        assert piece in made.html
    assert made.text == text


@pytest.mark.parametrize(
    "value",
    ["<style>p{display:none}</style>", "</style><script>x</script>", "{{ 7 * 7 }}", "<!--", "<!--[if mso]>", "]]>"],
)
@pytest.mark.parametrize("style", ["", "<style>p { top: 0 }</style>"])
def test_hostile_values_stay_text(tmp_path: Path, value: str, style: str) -> None:
    """A value that looks like markup stays text in the HTML and the text part, with and without inlined CSS."""
    variables: dict[str, Any] = {"first_name": value}
    made = renderer(tmp_path, f"{style}<p>{{{{ first_name }}}}</p><p>after</p>").render(variables, LinkData(None))
    assert words_seen(made.html) == [*value.split(), "after"]
    assert made.text == f"{value}\n\nafter\n"
