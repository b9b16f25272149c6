"""A template of text and plain variables, filled without Jinja; every other one is rendered by it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from jinja2 import nodes
from markupsafe import escape

from campaign.message import bodies
from campaign.message.templates import render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment, Template

    Render = Callable[[dict[str, Any]], str]


class Straight:
    """Renders what Jinja would, where all there is to do is to put values, escaped or not, between pieces of text.

    Nothing that a value holds can make it fail; a variable that is missing is a KeyError.
    """

    def __init__(self, pieces: list[str], values: list[tuple[int, str]], shown: Callable[[Any], str]) -> None:
        self._pieces = pieces
        self._values = values
        self._shown = shown
        #: The variables that must be there.
        self.names = frozenset(name for _, name in values)
        #: What stands between the values.
        self.literal = "".join(pieces)
        octets = None if "\r" in self.literal else bodies.eight_bit(self.literal)
        #: The pieces as 8bit data, and how many octets the values may have together: no line is too long then.
        self._octets = [] if octets is None else [bodies.utf8(piece.replace("\n", "\r\n")) for piece in pieces]
        self._room = -1 if octets is None else bodies.MAX_LINE - max(map(len, octets.split(b"\r\n")))

    def __call__(self, variables: Mapping[str, Any]) -> str:
        """Return the text for these variables."""
        pieces, shown = self._pieces.copy(), self._shown
        for place, name in self._values:
            value = variables[name]
            # what has letters and digits only is shown as it is; that is most of it, and quickly seen
            pieces[place] = value if type(value) is str and value.isalnum() else shown(value)
        return "".join(pieces)

    def longest_value(self, most: int) -> int:
        """Return how many characters each value, unescaped, may have if the text is to have `most` of them at most."""
        return (most - len(self.literal)) // max(1, len(self._values))

    def octets(self, variables: Mapping[str, Any]) -> bytes | None:
        """Return the text for these variables as `bodies.eight_bit` would; None where it has to look at the values."""
        octets, shown, room = self._octets.copy(), self._shown, self._room
        if room < 0:
            return None
        for place, name in self._values:
            value = variables[name]
            if type(value) is not str or not (value.isalnum() or value.replace(" ", "").isalnum()):
                value = shown(value)
                if not value.isprintable():  # no line breaks, no NUL, no lone surrogates
                    return None
            octets[place] = value.encode()
            room -= len(octets[place])
        return b"".join(octets) if room >= 0 else None


def renderer(template: Template, source: str | None = None) -> Render:
    """Return what renders a compiled template.

    Args:
        template: the template.
        source: what it was compiled from; None for a template with a name, whose source is known by it.
    """
    env = template.environment
    if source is None:
        assert env.loader is not None  # noqa: S101 - whoever has a name was loaded
        assert template.name is not None  # noqa: S101
        source, _, _ = env.loader.get_source(env, template.name)
    return _straight(env, source) or partial(render, template)


def _straight(env: Environment, source: str) -> Straight | None:
    if env.finalize is not None:
        return None
    pieces: list[str] = []
    values: list[tuple[int, str]] = []
    for statement in env.parse(source).body:
        for node in statement.nodes if isinstance(statement, nodes.Output) else [statement]:
            match node:
                case nodes.TemplateData(data=text):
                    pieces.append(text)
                case nodes.Name(name=name, ctx="load") if name != "self":
                    values.append((len(pieces), name))
                    pieces.append("")
                case _:
                    return None
    return Straight(pieces, values, escape if env.autoescape else str)
