"""Collect the variables that templates use and set: `Names`."""

from __future__ import annotations

from jinja2 import meta, nodes
from jinja2.defaults import DEFAULT_NAMESPACE

from campaign.message.template_errors import located


def names_used(tree: nodes.Template) -> dict[str, int]:
    """Return the variables that a template uses but does not set, each with the line of its first use."""
    wanted = meta.find_undeclared_variables(tree)
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in wanted and node.ctx == "load":
            lines[node.name] = min(node.lineno, lines.get(node.name, node.lineno))
    return lines


class Names:
    """Collects the names that all templates of a campaign use and set."""

    def __init__(self) -> None:
        self._used: dict[str, str] = {}
        self._set: set[str] = set()

    def add(self, where: str, tree: nodes.Template) -> None:
        """Add the names of a template; `where` is its file or field."""
        for name, line in names_used(tree).items():
            self._used.setdefault(name, located(where, line))
        self._set |= {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}

    def outside(self, ours: frozenset[str]) -> dict[str, str]:
        """Return the names that must be columns, each with the place of its first use.

        Args:
            ours: names that the program provides.
        """
        provided = self._set | ours | DEFAULT_NAMESPACE.keys()
        return {name: where for name, where in self._used.items() if name not in provided}
