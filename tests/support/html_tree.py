"""Parse an HTML page into a tree, for tests of what a reader sees: `tree`. Unmatched tags are an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr"})


@dataclass
class Node:
    """An element."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it, with white space collapsed."""
        return " ".join("".join(self.pieces()).split())

    def all(self, tag: str | None = None, look: str | None = None) -> Iterator[Node]:
        """Yield the descendants with this tag and this class, in the order of the page."""
        for child in self.children:
            if isinstance(child, Node):
                if tag in {None, child.tag} and (look is None or look in child.attributes.get("class", "").split()):
                    yield child
                yield from child.all(tag, look)

    def one(self, tag: str | None = None, look: str | None = None) -> Node:
        """Return the only descendant with this tag and this class."""
        (found,) = self.all(tag, look)
        return found

    def rows(self) -> list[list[str]]:
        """Return the cell texts of a table's body, row by row."""
        return [[cell.text for cell in row.children if isinstance(cell, Node)] for row in self.one("tbody").all("tr")]

    def titled(self, heading: str) -> Node:
        """Return the smallest section or article whose heading starts with this text."""
        boxes = [box for tag in ("section", "article") for box in self.all(tag) if _heading(box).startswith(heading)]
        return min(boxes, key=lambda box: len(box.text))

    def pieces(self) -> Iterator[str]:
        """Yield its text piece by piece."""
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child.pieces()


def tree(page: str) -> Node:
    """Return a page's tree."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert builder.open == [builder.root], f"not closed: {[node.tag for node in builder.open[1:]]}"
    return builder.root


def _heading(box: Node) -> str:
    return next((node.text for node in box.all() if node.tag in {"h2", "h3"}), "")


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        node = self.open.pop()
        assert node.tag == tag, f"</{tag}> closes <{node.tag}>"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)
