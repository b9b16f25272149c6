"""Check that templates print a sign-in link whole, and only where a link belongs: `check_link_use`.

A link is an opaque value. A filter, a slice, a loop or a concatenation would put an altered token, which no later check
can recognise, into the message. The check follows the link through `{% set %}`, macros and their arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import nodes

from campaign.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What templates call the link, and the function that makes one.
_LINK, _LINK_TO = "link", "link_to"
#: Functions of Jinja whose result is rendered content, which may hold the link.
_CONTENT = frozenset({"caller", "super"})


def check_link_use(trees: Mapping[str, nodes.Template]) -> None:
    """Refuse templates that do anything with the link but print it.

    Args:
        trees: the syntax trees of a template and of all templates that it uses, by file.

    Raises:
        TemplateError: a template alters the link; the text names file and line.
    """
    flow = _Flow(trees)
    for where, tree in trees.items():
        filters: list[nodes.Node] = []
        for node, scope in flow.walk(tree):
            if isinstance(node, nodes.FilterBlock):
                filters.append(node)
            for child in node.iter_child_nodes():
                if flow.holds_link(child, scope) and not _is_plain_use(node, child):
                    raise _refusal(where, child.lineno, _named(node))
        for block in filters:
            if any(flow.contains_link(child) for child in block.iter_child_nodes()):
                raise _refusal(where, block.lineno, "a {% filter %} block")


class _Flow:
    """Where the link goes in a campaign's templates: the variables, macros and parameters that hold it."""

    def __init__(self, trees: Mapping[str, nodes.Template]) -> None:
        self._variables = {_LINK}
        self._functions = {_LINK_TO} | _CONTENT
        #: (macro, parameter) of the parameters that are given the link.
        self._given: set[tuple[str, str]] = set()
        #: The names under which macros are imported.
        self._aliases: dict[str, str] = {}
        self._parameters = {
            macro.name: [argument.name for argument in macro.args]
            for tree in trees.values()
            for macro in tree.find_all(nodes.Macro)
        }
        known = -1
        while known != self._size:
            known = self._size
            for tree in trees.values():
                for node, scope in self.walk(tree):
                    self._learn(node, scope)

    def walk(
        self, node: nodes.Node, scope: frozenset[str] = frozenset()
    ) -> Iterator[tuple[nodes.Node, frozenset[str]]]:
        """Yield each node, with the names that hold the link there."""
        if not scope:
            scope = frozenset(self._variables)
        if isinstance(node, nodes.Macro):
            parameters = self._parameters[node.name]
            given = {name for name in parameters if (node.name, name) in self._given}
            scope = (scope - set(parameters)) | given
        yield node, scope
        for child in node.iter_child_nodes():
            yield from self.walk(child, scope)

    def holds_link(self, node: nodes.Node | None, scope: frozenset[str]) -> bool:
        """Return whether an expression is the link, or rendered content that may contain it."""
        match node:
            case nodes.Name(name=name, ctx="load"):
                return name in scope
            case nodes.Call(node=nodes.Name(name=name)) | nodes.Call(node=nodes.Getattr(attr=name)):
                return name in self._functions
            case nodes.CondExpr(expr1=first, expr2=second):
                return self.holds_link(first, scope) or self.holds_link(second, scope)
        return False

    def contains_link(self, node: nodes.Node) -> bool:
        """Return whether the link is anywhere in an expression or a block."""
        return any(self.holds_link(each, scope) for each, scope in self.walk(node))

    @property
    def _size(self) -> int:
        return len(self._variables) + len(self._functions) + len(self._given)

    def _learn(self, node: nodes.Node, scope: frozenset[str]) -> None:
        match node:
            case nodes.Assign(target=nodes.Name(name=name), node=value) if self.holds_link(value, scope):
                self._variables.add(name)
            case nodes.AssignBlock(target=nodes.Name(name=name), body=body) if any(map(self.contains_link, body)):
                self._variables.add(name)
            case nodes.Macro(name=name, body=body) if any(
                self.holds_link(each, inner) for part in body for each, inner in self.walk(part, scope)
            ):
                self._functions.add(name)
            case nodes.FromImport(names=names):
                for given in names:
                    name, alias = given if isinstance(given, tuple) else (given, given)
                    self._aliases[alias] = name
                    self._functions |= {alias} if name in self._functions else set()
            case nodes.Call(node=nodes.Name(name=name)) | nodes.Call(node=nodes.Getattr(attr=name)):
                name = self._aliases.get(name, name)
                arguments = [*zip(self._parameters.get(name, ()), node.args, strict=False)]
                arguments += [(keyword.key, keyword.value) for keyword in node.kwargs if name in self._parameters]
                self._given |= {(name, parameter) for parameter, value in arguments if self.holds_link(value, scope)}


def _is_plain_use(node: nodes.Node, child: nodes.Node) -> bool:
    """Return whether a node does no more with the link below it than print it, hand it on or test that it is there."""
    match node:
        case nodes.Output() | nodes.Assign() | nodes.CallBlock() | nodes.Keyword() | nodes.CondExpr() | nodes.Not():
            return True
        case nodes.Call():
            return child in node.args
        case nodes.If():
            return child is node.test
        case nodes.Test():
            return node.name in {"defined", "undefined"}
        case nodes.And() | nodes.Or():
            return True
    return False


def _named(node: nodes.Node) -> str:
    match node:
        case nodes.Filter(name=name):
            return f"the filter {name}"
        case nodes.Getitem() | nodes.Getattr():
            return "taking a part of it"
        case nodes.Concat() | nodes.Add():
            return "adding text to it"
        case nodes.For():
            return "a loop over it"
        case nodes.Call():
            return "calling it"
    return f"an operation ({type(node).__name__})"


def _refusal(where: str, line: int, what: str) -> TemplateError:
    return TemplateError(
        f"{where}:{line}: The sign-in link must be printed as it is: {what} would alter the token; "
        "put {{ link }} there alone. Parameters belong into link.url."
    )
