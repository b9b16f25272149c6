"""Rendered mails: the HTML is the rendered template with its CSS inlined, and the text has the same words.

The oracles here share no code with the program: Jinja2 alone renders, css-inline alone inlines, and the standard
library's HTML parser says which words a reader sees.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import css_inline
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader, Environment

from campaign.message.renderer import LinkData, Renderer
from support.reader import words_seen

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
