"""Count the paths to which a column leads by `link_to`: `LinkPaths`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from jinja2 import nodes

from campaign.message.template_errors import located

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from campaign.message.renderer import TemplatePart

#: At most this many paths are kept.
_MAX_PATHS = 10_000
_PATHS_NAMED = 3


class LinkPaths:
    """Collects the paths of the links that `link_to` makes; they are named only if a column has a part in them."""

    def __init__(self, parts: Sequence[TemplatePart]) -> None:
        self._columns: dict[str, str] = {}
        self._paths: dict[str, None] = {}
        for part in parts:
            for call in part.tree.find_all(nodes.Call):
                if isinstance(call.node, nodes.Name) and call.node.name == "link_to":
                    for argument in call.args:
                        self._learn(argument, located(part.where, call.lineno))

    def _learn(self, argument: nodes.Node, place: str) -> None:
        attributes = [argument] if isinstance(argument, nodes.Getattr) else list(argument.find_all(nodes.Getattr))
        inner = {id(attribute.node) for attribute in attributes}
        names = [argument] if isinstance(argument, nodes.Name) else list(argument.find_all(nodes.Name))
        for name in [attribute.attr for attribute in attributes] + [n.name for n in names if id(n) not in inner]:
            self._columns.setdefault(name, place)

    def add(self, links: Iterable[str]) -> None:
        """Add the links that `link_to` made for a row."""
        if self._columns and len(self._paths) <= _MAX_PATHS:
            self._paths |= dict.fromkeys(map(_path_of, links))

    def sentence(self) -> str:
        """Return where the links lead, with the columns and places that say so; empty without such a link."""
        if not self._columns or not self._paths:
            return ""
        number = f"more than {_MAX_PATHS:,}" if len(self._paths) > _MAX_PATHS else f"{len(self._paths):,}"
        named = ", ".join(list(self._paths)[:_PATHS_NAMED]) + (", …" if len(self._paths) > _PATHS_NAMED else "")
        columns = ", ".join(f"{column} ({place})" for column, place in self._columns.items())
        return f"link_to leads to {number} path{'s' * (len(self._paths) != 1)} ({named}) by the columns {columns}"


def _path_of(link: str) -> str:
    """Return the path that a link leads to in the end: that of `next`, if the landing page goes on."""
    parts = urlsplit(link)
    onward = dict(parse_qsl(parts.query)).get("next", "")
    return urlsplit(onward).path if onward.startswith("/") else parts.path
