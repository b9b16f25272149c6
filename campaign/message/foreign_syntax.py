"""Say what is wrong with a template whose author thought of CSS or of another template language: `foreign_syntax`."""

from __future__ import annotations

import re

#: For each pattern of a line what it is, and what to write instead; `{}` is what the pattern found.
_HINTS = (
    (
        re.compile(r"\{\{\s*(?:[#/^>&!@]|else\s*\}\})[^}]*\}*|\{\{\{[^}]*\}*"),
        "{} is Handlebars, and templates are Jinja: write {{% if NAME %}} … {{% endif %}} and {{{{ NAME }}}}.",
    ),
    (
        re.compile(r"\{%-?\s*(?:assign|capture|case|unless|endunless|elsif|elseif|liquid|render)\b[^%]*%?\}?"),
        "{} is Liquid, and templates are Jinja: write {{% set NAME = … %}}, {{% if not NAME %}} and {{% elif NAME %}}.",
    ),
    (
        re.compile(r"\{\{[^}|]*\|\s*\w+:[^}]*\}*"),
        '{} is Liquid, and templates are Jinja: write the value in brackets: {{{{ NAME | default("there", true) }}}}.',
    ),
    (
        re.compile(r"\{[{%][^}]*(?:&&|\|\||\?)[^}]*\}*"),
        "{} has an operator that Jinja does not know: write `and`, `or`, `not`, and `A if TEST else B`.",
    ),
    (
        re.compile(r"\{\{-?\s*[^\W\d]\w*(?:[ \t]+\w+)+\s*-?\}\}"),
        "{} has a blank in the name; a column such as First Name is {{{{ first_name }}}}.",
    ),
)
_UNCLOSED_COMMENT = "Missing end of comment tag"


def foreign_syntax(message: str, line: str) -> str | None:
    """Return a sentence for a syntax error that Jinja's own message does not explain, or None.

    Args:
        message: Jinja's message.
        line: the line of the template on which the error is.
    """
    if message.startswith(_UNCLOSED_COMMENT):
        return "{# begins a comment here, and no #} ends it; in CSS, put a blank between { and #."
    for pattern, hint in _HINTS:
        if found := pattern.search(line):
            return hint.format(found[0][:40])
    return None
