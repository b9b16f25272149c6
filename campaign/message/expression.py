"""Evaluate a condition over a row's columns in the sandbox of the templates: `Condition`, for `[recipients] where`."""

from __future__ import annotations

import operator
from datetime import datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, nodes
from jinja2.parser import Parser
from jinja2.utils import pass_context

from campaign.errors import RowError, TemplateError
from campaign.message import filters
from campaign.message.filters import is_number, shown
from campaign.message.sandboxed_environment import LimitedEnvironment
from campaign.message.template_errors import explained, sentence
from campaign.message.template_names import names_used

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from jinja2.runtime import Context

    #: Returns the instant that a text means in a row; raises RowError if it means none.
    ReadTime = Callable[[str, Mapping[str, Any]], datetime]

#: Names of the filters that compare, and that take a test's value; an expression cannot write them.
_COMPARED, _TESTED = " compared", " tested"
_RESULT = "result"
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}
#: What can be compared with each other, by the name that error texts give it. `bool` is an `int`, so it comes first.
_KINDS: Sequence[tuple[type | tuple[type, ...], str]] = (
    (bool, "true or false"),
    ((int, float, Decimal), "a number"),
    (str, "text"),
    (datetime, "a time"),
    (timedelta, "a duration"),
    ((list, tuple), "a list"),
    (type(None), "none"),
)
#: What makes a text of a row comparable with another kind.
_ADVICE = {
    "a number": "write NAME | number to make a number of it, or put the number in quotes",
    "a time": "write NAME | date to make a time of it",
    "true or false": 'compare it with a text, as in NAME == "yes"',
    "none": 'a missing value is the empty text: write NAME == ""',
}


class Condition:
    """A Jinja expression that is true or false for a row.

    Its filters are Jinja's own, `number` and `date`. Text never equals a number or a time: to compare them is an error.

    Args:
        source: the expression, without braces.
        where: names it in error texts: the campaign file with its line, and the key.
        read_time: reads the texts that `date` is given.

    Raises:
        TemplateError: the expression is malformed, or has a filter or test that does not exist.
    """

    def __init__(self, source: str, *, where: str, read_time: ReadTime) -> None:
        self._where = where
        self._environment = env = LimitedEnvironment(undefined=StrictUndefined)
        env.filters |= {"number": filters.number, "date": _dates(read_time), _COMPARED: _compared, _TESTED: _tested}
        tree = self._parsed(source)
        #: The columns that the expression uses.
        self.names = frozenset(names_used(tree)) - env.globals.keys()
        self._compiled = Template.from_code(env, env.compile(_checked(tree), filename=where), env.make_globals(None))
        self._globals = dict(self._compiled.globals)

    def _parsed(self, source: str) -> nodes.Template:
        parser = Parser(self._environment, source, state="variable")
        try:
            expression = parser.parse_expression()
            if not parser.stream.eos:
                raise TemplateSyntaxError(f"{parser.stream.current} is not expected here", 1)
        except TemplateSyntaxError as error:
            raise self._fault(
                f"{sentence(error.message)[:-1]}; write an expression, such as total | number > 20 and plan == 'pro'."
            ) from None
        tree = nodes.Template([nodes.Assign(nodes.Name(_RESULT, "store"), expression, lineno=1)], lineno=1)
        self._environment.normalise(tree)
        for kind, known in ((nodes.Filter, self._environment.filters), (nodes.Test, self._environment.tests)):
            for node in tree.find_all(kind):
                if node.name not in known:
                    raise self._fault(_unknown(kind.__name__.lower(), node.name, known))
        tree.set_environment(self._environment)
        return tree

    def require_columns(self, columns: Iterable[str]) -> None:
        """Check that every name of the expression is a column.

        Raises:
            TemplateError: a column is missing; the text names the most similar one.
        """
        known = sorted(columns)
        for name in sorted(self.names - set(known)):
            near = get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}? The" if near else "the"
            raise self._fault(f"There is no column {name}; {meant} columns are {', '.join(known)}.")

    def is_true(self, variables: Mapping[str, Any]) -> bool:
        """Return whether the condition holds for a row.

        Raises:
            RowError: the values of the row are why it cannot be said.
            TemplateError: the expression is why.
        """
        env = self._environment
        context = env.context_class(env, {**self._globals, **variables}, self._where, {})
        try:
            env.work.joined(cast("Generator[str]", self._compiled.root_render_func(context)))
            return _tested(context.vars[_RESULT])
        except UndefinedError as error:
            if missing := self._unequal(variables):
                raise RowError(
                    f"{self._where}: {missing} is not the same in all rows of this group; use the group's rows, as in "
                    f"items | map(attribute='{missing}') | map('number') | sum."
                ) from None
            raise explained(error, variables, self._where) from None
        except Exception as error:  # noqa: BLE001 - an expression can raise anything
            raise explained(error, variables, self._where) from None

    def _unequal(self, variables: Mapping[str, Any]) -> str:
        """Return a column of the expression that the rows of a group have, but not with one value; empty if none."""
        groups = [value for value in variables.values() if isinstance(value, list)]
        columns = {name for rows in groups for row in rows for name in row}
        return min((self.names & columns) - variables.keys(), default="")

    def _fault(self, text: str) -> TemplateError:
        return TemplateError(f"{self._where}: {text}")


def _checked(tree: nodes.Template) -> nodes.Template:
    """Replace what could be wrong without an error: comparisons of two kinds, tests of texts, binary fractions."""
    _replace(tree)
    return tree


def _replace(node: nodes.Node) -> None:
    for child in node.iter_child_nodes():
        _replace(child)
    for field, value in node.iter_fields():
        if isinstance(value, list):
            value[:] = [_replacement(each) for each in value]
        else:
            setattr(node, field, _replacement(value))


def _replacement(node: Any) -> Any:  # noqa: ANN401 - a field can hold anything
    match node:
        # 0.1 is another number than the 0.1 of a cell, which is a Decimal
        case nodes.Const(value=float(value)) if is_number(repr(value)):
            return _filter(nodes.Const(repr(value), lineno=node.lineno), "number", [])
        case nodes.Compare(expr=left, ops=operands):
            sides = [nodes.Const(operand.op, lineno=node.lineno) for operand in operands]
            values = nodes.List([operand.expr for operand in operands], lineno=node.lineno)
            return _filter(left, _COMPARED, [nodes.List(sides, lineno=node.lineno), values])
        case nodes.And() | nodes.Or():
            node.left, node.right = _filter(node.left, _TESTED, []), _filter(node.right, _TESTED, [])
        case nodes.Not():
            node.node = _filter(node.node, _TESTED, [])
        case nodes.CondExpr():
            node.test = _filter(node.test, _TESTED, [])
    return node


def _filter(value: nodes.Expr, name: str, arguments: list[nodes.Expr]) -> nodes.Filter:
    return nodes.Filter(value, name, arguments, [], None, None, lineno=value.lineno)


def _compared(left: object, operators: Sequence[str], values: Sequence[object]) -> bool:
    """Return whether every comparison of a chain holds, as in `1 < a <= 3`.

    Raises:
        TemplateError: two of the values are of different kinds.
    """
    holds = True
    for name, right in zip(operators, values, strict=True):
        if name.removeprefix("not") == "in":
            holds = holds and _is_in(left, right) == (name == "in")
        else:
            _require_one_kind(left, right)
            holds = holds and _OPERATORS[name](_exact(left), _exact(right))
        left = right
    return holds


def _tested(value: object) -> bool:
    """Return a value that is true or false; of a text, nobody can say which of the two it means."""
    if isinstance(value, bool):
        return value
    raise TemplateError(
        f"{_kind(value).capitalize()} ({shown(str(value))}) is neither true nor false; compare it, as in "
        """vip == 'yes', name != '' or total | number > 20."""
    )


def _is_in(value: object, whole: object) -> bool:
    if isinstance(whole, str):
        if not isinstance(value, str):
            raise TemplateError(f"{_kind(value).capitalize()} cannot be in a text; {_ADVICE['a number']}.")
        return value in whole
    if not isinstance(whole, list | tuple | range | dict):
        raise TemplateError(f"Nothing can be in {_kind(whole)}; write a list, as in plan in ['pro', 'team'].")
    for each in whole:
        _require_one_kind(value, each)
    return any(_exact(value) == _exact(each) for each in whole)


def _require_one_kind(left: object, right: object) -> None:
    if isinstance(left, str) and isinstance(right, str):
        return
    one, other = _kind(left), _kind(right)
    if one != other:
        advice = _ADVICE.get(other if one == "text" else one) if "text" in {one, other} else None
        raise TemplateError(
            f"{one.capitalize()} ({shown(str(left))}) is compared with {other} ({shown(str(right))})"
            + (f", and values of a CSV are text; {advice}." if advice else "; compare values of one kind.")
        )


def _kind(value: object) -> str:
    if isinstance(value, StrictUndefined):
        str(value)  # raises its own error
    return next((name for types, name in _KINDS if isinstance(value, types)), f"a {type(value).__name__}")


def _exact(value: object) -> object:
    """Return a fraction as the decimal number that it is written as, so that it can equal one of a cell."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def _dates(read: ReadTime) -> Callable[[Context, object], datetime]:
    @pass_context
    def date(context: Context, value: object) -> datetime:
        return value if isinstance(value, datetime) else read(str(value).strip(), context.parent)

    return date


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(each for each in known if not each.startswith(" "))
    near = get_close_matches(name, names, n=1)
    meant = f"did you mean {near[0]}?" if near else "besides Jinja's own there are number and date."
    return f"There is no {what} {name}; {meant}"
