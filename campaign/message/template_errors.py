"""Turn a template's error into a sentence with file and line: `explained`."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from campaign.errors import RowError, RowTooLargeError, TemplateError
from campaign.message.foreign_syntax import foreign_syntax

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: At most this many names stand in an error text.
_MAX_LISTED = 12
_UNDEFINED = re.compile(r"'([^']+)' is undefined")
_NO_ATTRIBUTE = re.compile(r"has no attribute '([^']+)'")
_NO_ELEMENT = re.compile(r"has no element (-?[0-9]+)")
#: What Python says when it cannot calculate with a text, or compare it with a number.
_WITH_TEXT = re.compile(
    r"""of type 'str'|type str|: 'str'|'str' and|and 'str'|\(not "\w+"\) to str|not str\b|"""
    "'str' object cannot be inter|not all arguments converted",
    re.IGNORECASE,
)
#: Names of the templates that are fields of the campaign file; error texts give no line for them.
_FIELDS = ("email.subject", "link.url", "email.attachments.path", "email.attachments.name", "[recipients] where")


def explained(  # noqa: C901 - one branch for each kind of error
    error: Exception, variables: Mapping[str, object], where: str
) -> TemplateError:
    """Return a TemplateError for an error in rendering, with the file and line of the innermost template.

    It is a RowError if the values of the row are why: a filter refused one, a calculation is not possible with one, or
    the text is too large.

    Args:
        error: the exception that was raised.
        variables: the variables of the templates.
        where: the outermost template, for an error that has no line.
    """
    trace, line = error.__traceback__, 0
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            where, line = template.filename, template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    text = sentence(str(error) or type(error).__name__)
    kind = TemplateError
    if isinstance(error, RowError):
        kind = type(error)
    elif isinstance(error, TemplateError):
        pass
    elif isinstance(error, MemoryError):
        kind, text = RowTooLargeError, "The text does not fit into the memory."
    elif isinstance(error, ZeroDivisionError):
        kind, text = RowError, "A number is divided by zero; test for it first, as in {% if qty | number > 0 %}."
    elif isinstance(error, ArithmeticError | ValueError):
        kind, text = RowError, f"{text[:-1]} ({type(error).__name__})."
    elif isinstance(error, TypeError) and _WITH_TEXT.search(text):
        text = f"{calculates_with_text()} ({text[:-1]})"
    elif found := _NO_ELEMENT.search(text):
        kind = RowError
        text = f"A value has fewer parts than this needs ({text[:-1]}); test for it with {{% if %}}."
    elif found := _UNDEFINED.search(text):
        text = _unknown(found[1], variables)
    elif found := _NO_ATTRIBUTE.search(text):
        rows = [value for value in variables.values() if isinstance(value, list)]
        columns = {str(name) for row in rows for entry in row if isinstance(entry, dict) for name in entry}
        text = f"There is no {found[1]} here; {_choice(found[1], columns)}"
    else:
        text = f"{text[:-1]} ({type(error).__name__})."
    return kind(f"{located(where, line)}: {text}")


def calculates_with_text() -> TemplateError:
    """Return the error for a calculation with a cell that was not made a number."""
    return TemplateError(
        "Values of a CSV are text; to calculate with one or compare it with a number, write its name and `| number`, "
        "as in {{ (qty | number) * (price | number) }}."
    )


def _unknown(name: str, variables: Mapping[str, object]) -> str:
    if name in variables:
        return (
            f"{name} is not known in a template that is imported without its context; write `with context` at the end "
            'of the statement that imports it, as in {% from "macros.html" import button with context %}.'
        )
    if name in ("link", "link_to"):
        return (
            f"{name} cannot be used here: it needs a [link] section in the campaign file, and email.subject and "
            "link.url cannot use it."
        )
    if hint := foreign_syntax("", f"{{{{{name}}}}}"):
        return hint
    columns = [column for column, value in variables.items() if not callable(value) and column != "link"]
    return f"The variable {name} does not exist; {_choice(name, columns)}"


def _choice(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    listed = ", ".join(names[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")
    if not names:
        return "there are no columns."
    return f"did you mean {near[0]}? The columns are {listed}." if near else f"the columns are {listed}."


def located(where: str, line: int) -> str:
    """Return `file:line`, or only the name if it is a field of the campaign file."""
    return where if where.endswith(_FIELDS) or not line else f"{where}:{line}"


def sentence(text: str | None) -> str:
    """Return a library's error text as a sentence on one line."""
    words = " ".join((text or "The template is wrong").split())
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "?", "!")) else ".")
