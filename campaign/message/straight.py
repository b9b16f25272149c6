"""A template of text and plain variables, filled without Jinja; every other one is rendered by it."""

from __future__ import annotations

import re
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jinja2 import nodes
from markupsafe import escape

from campaign.message import bodies
from campaign.message.templates import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jinja2 import Environment, Template

    Render = Callable[[dict[str, Any]], str]

#: A value that is the same in HTML, and can break no line.
_is_plain = re.compile(r"[\w .,:;/@()+-]*").fullmatch


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
        self._octets: _Octets | None = None
        if "\r" not in self.literal and (octets := bodies.eight_bit(self.literal)) is not None:
            self._octets = _Octets(pieces, values, octets)

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

    def octets(self, variables: Mapping[str, Any], plain: dict[str, bytes]) -> bytes | None:
        """Return the text for these variables as `bodies.eight_bit` would; None where it has to look at the values.

        Args:
            variables: the values.
            plain: those that `plain` returned for them.
        """
        if self._octets is None:
            return None
        try:
            return self._octets.filled(plain)
        except KeyError:
            others = {name: self._shown(variables[name]) for name in self.names - plain.keys()}
        if not all(map(str.isprintable, others.values())):  # no line breaks, no NUL, no lone surrogates
            return None
        return self._octets.filled(plain | {name: value.encode() for name, value in others.items()})


class _Octets:
    """Pieces of 8bit data with places for values between them.

    Args:
        pieces: the text, empty where a value stands.
        values: the place and the name of each.
        whole: the pieces, as one.
    """

    def __init__(self, pieces: list[str], values: list[tuple[int, str]], whole: bytes) -> None:
        octets = [bodies.utf8(piece.replace("\n", "\r\n")).replace(b"%", b"%%") for piece in pieces]
        for place, _ in values:
            octets[place] = b"%b"
        self._format = b"".join(octets)
        names = [name for _, name in values]
        self._in_order = itemgetter(*names) if len(names) > 1 else lambda found: tuple(found[name] for name in names)
        #: With more octets a line might be too long.
        self._most = len(whole) + bodies.MAX_LINE - max(map(len, whole.split(b"\r\n")))

    def filled(self, values: Mapping[str, bytes]) -> bytes | None:
        """Return the octets with the values in their places, or None if a line of them might be too long."""
        octets = self._format % self._in_order(values)
        return octets if len(octets) <= self._most else None


def plain(variables: Mapping[str, Any], names: Iterable[str]) -> dict[str, bytes]:
    """Return, encoded, the values of these names that are shown as they are, be it in text or HTML."""
    return {
        name: value.encode()
        for name in names
        if type(value := variables[name]) is str and (value.isalnum() or _is_plain(value))
    }


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
