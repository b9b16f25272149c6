"""Find how templates use the columns of a CSV: which they print, test and convert: `ColumnUse`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from jinja2 import nodes

from campaign.message.template_errors import located

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from campaign.message.renderer import TemplatePart

#: For each column the place (`file:line`) of its first use of a kind.
Places = dict[str, str]


class ColumnUse:
    """The columns that templates use, by the kind of use.

    A column is a variable that no template sets, or an attribute of such a variable or of a loop's variable.
    """

    def __init__(self, parts: Sequence[TemplatePart]) -> None:
        #: Printed, or made a part of what is printed.
        self.printed: Places = {}
        #: Tested alone, as in `{% if vip %}`.
        self.tested: Places = {}
        #: Given to `default` without its second argument, so that only a missing column is replaced.
        self.defaulted: Places = {}
        #: Given to `float` or `int`, which make 0 of what is no number.
        self.converted: Places = {}
        #: Sentences about comparisons with a number, which are the same for every row.
        self.comparisons: list[str] = []
        for part in parts:
            self._where = part.where
            self._set = {node.name for node in part.tree.find_all(nodes.Name) if node.ctx != "load"}
            for node, tested in _walk(part.tree):
                self._learn(node, tested=tested)

    def _learn(self, node: nodes.Node, *, tested: bool) -> None:
        match node:
            case nodes.If(test=test) | nodes.CondExpr(test=test):
                for leaf in _leaves(test):
                    self._note(self.tested, leaf)
            case nodes.Filter(name="default" | "d", node=value, args=args, kwargs=kwargs):
                if len(args) < 2 and all(keyword.key != "boolean" for keyword in kwargs):
                    self._note(self.defaulted, value)
            case nodes.Filter(name="float" | "int", node=value):
                self._note(self.converted, value)
            case nodes.Compare(expr=left, ops=[nodes.Operand(op="eq" | "ne", expr=right)]):
                self._compare(left, right)
        if not tested:
            self._note(self.printed, node)

    def _note(self, kind: Places, node: nodes.Node | None) -> None:
        if column := self._column(node):
            kind.setdefault(column, located(self._where, cast("nodes.Node", node).lineno))

    def _column(self, node: nodes.Node | None) -> str | None:
        match node:
            case nodes.Name(name=name, ctx="load") if name not in self._set:
                return name
            case nodes.Getattr(node=nodes.Name(name=name) | nodes.Getitem(node=nodes.Name(name=name)), attr=column):
                return column if name != "loop" else None
        return None

    def _compare(self, left: nodes.Node, right: nodes.Node) -> None:
        if isinstance(left, nodes.Const):
            left, right = right, left
        column = self._column(left)
        if column and isinstance(left, nodes.Name) and isinstance(right, nodes.Const) and _is_number(right.value):
            self.comparisons.append(
                f"{located(self._where, left.lineno)}: {column} is compared with the number {right.value}, but values "
                f'of a CSV are text, so they are never equal; write {column} == "{right.value}" or '
                f"({column} | number) == {right.value}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _leaves(test: nodes.Node) -> Iterator[nodes.Node]:
    """Yield the parts of a test that are joined by `and`, `or` and `not`."""
    if isinstance(test, nodes.And | nodes.Or | nodes.Not):
        for child in test.iter_child_nodes():
            yield from _leaves(child)
    else:
        yield test


def _walk(node: nodes.Node, *, tested: bool = False) -> Iterator[tuple[nodes.Node, bool]]:
    """Yield each node below a node, and whether it is only tested and not printed."""
    for child in node.iter_child_nodes():
        inside = tested or (isinstance(node, nodes.If | nodes.CondExpr) and child is node.test)
        yield child, inside
        yield from _walk(child, tested=inside)
