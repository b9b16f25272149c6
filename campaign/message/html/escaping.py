"""Keep data from becoming markup, script, style or an unsafe address in an HTML template: `with_escaping`.

Jinja does the escaping. This module handles the places where escaping is not enough.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError, nodes

from campaign.errors import RowError, TemplateError
from campaign.message.filters import shown
from campaign.message.html.mjml import source_line
from campaign.message.html.parsed_template import HtmlContext, parse_template

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from jinja2 import Environment

    from campaign.message.html.parsed_template import ParsedTemplate, Tag, Value

#: Attributes that hold a URL (WHATWG HTML, index of attributes; and older ones that mail still uses).
_ADDRESSES = frozenset(
    {
        *("action", "background", "cite", "codebase", "data", "dynsrc", "formaction", "href", "icon", "longdesc"),
        *("lowsrc", "manifest", "ping", "poster", "profile", "src", "srcset", "xlink:href"),
    }
)
#: How a URL in a mail may begin, and beginnings after which data cannot change its host.
_ADDRESS = re.compile(r"\s*(?:https?://|mailto:|tel:|sms:|cid:|#)", re.IGNORECASE)
_CERTAIN = re.compile(r"\s*(?:https?://[^\s/?#]+[/?#]|mailto:|tel:|sms:|cid:|#)", re.IGNORECASE)
#: What a value may put into CSS: it can add no URL and no other rule, and cannot close the attribute.
_STYLE = re.compile(r"[\w\s.,#%+:;!-]*")
_OUT_OF_PLACE = {
    HtmlContext.TAG: (
        "outside the quotes of an attribute, where data could become another attribute; put it in quotes"
    ),
    HtmlContext.BARE: 'in an attribute without quotes; put quotes around it, as in href="{{ link }}"',
    HtmlContext.SCRIPT: "in a script, where data could become code; mail programs run no scripts, so remove it",
}
#: Statements that insert no text themselves.
_CHOOSING = frozenset({"if", "elif", "else", "endif", "for", "endfor"})
#: Filters whose result Jinja does not escape.
_MARKUP_FILTERS = {"safe": "let data become markup", "tojson": "break out of a quoted attribute"}


def web_address(value: str) -> str:
    """Return the whole value of an attribute that holds a URL, unchanged.

    Raises:
        RowError: the value does not begin with http://, https://, mailto:, tel:, sms:, cid: or #.
    """
    if _ADDRESS.match(value) is None:
        raise RowError(
            f"{shown(str(value))} is not an address that a mail can link to; it must begin with https://, http://, "
            "mailto: or tel:."
        )
    return value


def style_value(value: object) -> str:
    """Return a value for a style, unchanged.

    Raises:
        RowError: the value holds anything but words, numbers, colours and lengths.
    """
    text = str(value)
    if _STYLE.fullmatch(text) is None:
        raise RowError(f"{shown(text)} is not allowed in a style; use only words, numbers, colours and lengths.")
    return text


FILTERS: dict[str, Callable[..., Any]] = {"web_address": web_address, "style_value": style_value}


def with_escaping(env: Environment, source: str, where: str) -> str:
    """Return the source of an HTML template with checks around data in URLs and styles; line numbers stay the same.

    Args:
        env: the environment that compiles the template.
        source: a source without syntax errors.
        where: the template's file.

    Raises:
        TemplateError: data stands in a place where no check can make it safe.
    """
    parts = _parsed(env, source, where)
    marks: list[tuple[int, str]] = []
    for tag in parts.tags:
        if tag.kind == "expression" and tag.place in _OUT_OF_PLACE:
            raise TemplateError(f"{where}:{tag.line}: {parts.text(tag)} is {_OUT_OF_PLACE[tag.place]}.")
        if tag.kind == "expression" and tag.place is HtmlContext.STYLE:
            marks += _filtered(env, parts, tag)
    for value in parts.values:
        expressions = [tag for tag in value.tags if tag.kind == "expression"]
        if value.attribute.startswith("on") or value.attribute == "srcdoc":
            if expressions:
                raise TemplateError(
                    f"{where}:{expressions[0].line}: {parts.text(expressions[0])} is in {value.attribute}, where "
                    "data could become a script; remove it."
                )
        elif value.attribute == "style":
            marks += [mark for tag in expressions for mark in _filtered(env, parts, tag)]
        elif value.attribute in _ADDRESSES and not _is_certain(env, parts, value):
            marks += _checked(env, parts, value, where)
    done = parts.source
    for position, text in sorted(marks, reverse=True):
        done = done[:position] + text + done[position:]
    return done


def _parsed(env: Environment, source: str, where: str) -> ParsedTemplate:
    """Return the Jinja tags of a source, each with its line in the file, which MJML compiles to other lines."""
    parts = parse_template(env, source)
    for tag in parts.tags:
        tag.line = source_line(getattr(env, "lines", {}), where, tag.line)
    return parts


def _filtered(env: Environment, parts: ParsedTemplate, tag: Tag) -> list[tuple[int, str]]:
    text = parts.text(tag)
    if _is_written(env, text):
        return []
    inner = len(text) - (3 if text[-3] in "-+" else 2)
    return [(tag.start + (3 if text[2] in "-+" else 2), " ("), (tag.start + inner, ") | style_value ")]


def _is_certain(env: Environment, parts: ParsedTemplate, value: Value) -> bool:
    literal = parts.source[value.start : value.tags[0].start]
    if _CERTAIN.match(literal):
        return True
    return not literal.strip() and all(
        _is_written(env, parts.text(tag)) if tag.kind == "expression" else parts.keyword(tag) in _CHOOSING
        for tag in value.tags
        if tag.kind != "comment"
    )


def _checked(env: Environment, parts: ParsedTemplate, value: Value, where: str) -> list[tuple[int, str]]:
    try:
        env.parse(parts.source[value.start : value.end])
    except TemplateSyntaxError:
        raise TemplateError(
            f"{where}:{value.tags[0].line}: A Jinja statement begins or ends in the middle of {value.attribute}; put "
            "the whole statement inside the quotes."
        ) from None
    return [(value.start, "{% filter web_address %}"), (value.end, "{% endfilter %}")]


def _is_written(env: Environment, expression: str) -> bool:
    """Return whether the result of `{{ … }}` is written in the template, so that it holds no data."""
    (output,) = env.parse(expression).body
    return isinstance(output, nodes.Output) and all(_is_constant(node) for node in output.nodes)


def _is_constant(node: nodes.Node | None) -> bool:
    match node:
        case None | nodes.Const() | nodes.TemplateData():
            return True
        case nodes.CondExpr(expr1=first, expr2=second):
            return _is_constant(first) and _is_constant(second)
        case nodes.Call(node=nodes.Getattr(node=nodes.Name(name="loop"), attr="cycle"), args=choices):
            return all(_is_constant(choice) for choice in choices)
    return False


def check_tree(tree: nodes.Template, where: str) -> None:
    """Refuse filters and statements that would turn data into markup in an HTML template.

    Raises:
        TemplateError: the template uses one.
    """
    for node in tree.find_all(nodes.Filter):
        if node.name in _MARKUP_FILTERS and not (node.node is not None and _is_constant(node.node)):
            raise TemplateError(
                f"{where}:{node.lineno}: The filter {node.name} would {_MARKUP_FILTERS[node.name]}; remove it."
            )
    for scope in tree.find_all((nodes.EvalContextModifier, nodes.ScopedEvalContextModifier)):
        raise TemplateError(
            f"{where}:{scope.lineno}: Escaping cannot be turned off in an HTML template: "
            "data would become markup. Remove this."
        )
