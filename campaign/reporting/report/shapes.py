"""Build the parts of charts as SVG: `chart`, panels, lines, steps and labels.

A chart is two drawings side by side: a vertical axis of fixed width, and a plot that fills the remaining width.
Shapes are in panels that stretch with the page; labels are outside the panels and keep their size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The space above a plot, and the height of each line of labels below it (pixels).
TOP, LINE = 20, 18
#: Right of this position (percent of the width) a label does not fit.
_EDGE_PERCENT = 86


def chart(
    labels: Iterable[tuple[str, float]], parts: Iterable[Markup], height: float, *, lines: int = 1, what: str
) -> Markup:
    """Return a chart.

    Args:
        labels: the labels of the vertical axis, each with its distance from the top of the plot (pixels).
        parts: the content of the plot.
        height: of the plot (pixels), without the labels above and below.
        lines: the number of label lines below the plot.
        what: the chart, for screen readers.
    """
    tall = short(TOP + height + lines * LINE + 6)
    words = Markup().join(
        Markup('<text x="100%" dx="-8" y="{}" dy="4">{}</text>').format(short(TOP + y), text) for text, y in labels
    )
    return Markup(
        '<div class="chart"><svg class="axis" height="{}" aria-hidden="true">{}</svg>'
        '<svg class="plot" height="{}" role="img" aria-label="{}">{}</svg></div>'
    ).format(tall, words, tall, what, Markup().join(parts))


def panel(shapes: Iterable[Markup], *, left: float, width: float, height: float, across: float) -> Markup:
    """Return a panel: shapes stretched into a part of the plot, and their baseline.

    Args:
        shapes: drawn in a coordinate system of `across` by `height`.
        left: percent of the plot's width.
        width: percent of the plot's width.
        height: of the plot (pixels).
        across: the width of the shapes' coordinate system.
    """
    return Markup(
        '<svg x="{0}%" y="{1}" width="{2}%" height="{3}" viewBox="0 0 {4} {3}" preserveAspectRatio="none">{5}</svg>'
        '<line class="ground" x1="{0}%" x2="{6}%" y1="{7}" y2="{7}"/>'
    ).format(
        *map(short, (left, TOP, width, height, across)), Markup().join(shapes), short(left + width), short(TOP + height)
    )


def grid(lines: Iterable[float]) -> Markup:
    """Return horizontal lines at these distances from the top of the plot (pixels)."""
    line = Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>')
    return Markup().join(line.format(short(TOP + y)) for y in lines)


def limit(name: str, y: float) -> Markup:
    """Return a horizontal line with a label."""
    return Markup(
        '<line class="limit" x1="0" x2="100%" y1="{0}" y2="{0}"/>'
        '<text class="limit" x="100%" y="{0}" dy="-6">{1}</text>'
    ).format(short(TOP + y), name)


def flag(name: str, x: float, height: float, *, before: bool) -> Markup:
    """Return a vertical line with a label before or after it; near the right edge before it, and a line lower."""
    edge = not before and x > _EDGE_PERCENT
    side, shift = ("before", -5) if before or edge else ("after", 5)
    return Markup(
        '<line class="flag" x1="{0}%" x2="{0}%" y1="4" y2="{1}"/>'
        '<text class="flag {2}" x="{0}%" dx="{3}" y="{4}">{5}</text>'
    ).format(short(x), short(TOP + height), side, shift, 13 + LINE * edge, name)


def below(text: str, x: float, height: float, *, line: int = 0, minor: bool = False) -> Markup:
    """Return a label under the plot; `x` is in percent."""
    looks = ["first" if x < 4 else "last" if x > 96 else "middle", *(["minor"] if minor else [])]
    looks += ["date"] if line else []
    return Markup('<text class="{}" x="{}%" y="{}">{}</text>').format(
        " ".join(looks), short(x), short(TOP + height + 17 + line * LINE), text
    )


def tooltip(x: float, width: float, height: float, text: str) -> Markup:
    """Return an area of a panel that shows a tooltip."""
    return Markup('<rect class="spot" x="{}" width="{}" height="{}"><title>{}</title></rect>').format(
        short(x), short(width), short(height), text
    )


def part(look: str, left: float, width: float, text: str) -> Markup:
    """Return a part of a bar with a tooltip; `left` and `width` are in percent of the bar."""
    return Markup('<rect class="{}" x="{}%" width="{}%" height="100%"><title>{}</title></rect>').format(
        look, short(left), short(width), text
    )


def area(look: str, low: Sequence[float], high: Sequence[float], height: float, *, start: float = 0) -> Markup:
    """Return the area between two step lines; each step is one unit wide and a height above the baseline."""
    path = [f"M{short(start)} {short(height - low[0])}"]
    path += [f"V{short(height - top)}H{short(start + place + 1)}" for place, top in enumerate(high)]
    path += [f"V{short(height - low[place])}H{short(start + place)}" for place in range(len(low) - 1, -1, -1)]
    return Markup('<path class="{}" d="{}Z"/>').format(look, "".join(path))


def outline(look: str, tops: Sequence[float], height: float, *, start: float = 0) -> Markup:
    """Return a step line."""
    path = [f"M{short(start)} {short(height - tops[0])}"]
    path += [f"V{short(height - top)}H{short(start + place + 1)}" for place, top in enumerate(tops)]
    return Markup('<path class="{}" d="{}"/>').format(look, "".join(path))


def block(look: str, left: float, width: float, tall: float, height: float) -> Markup:
    """Return a rectangle that stands on the baseline of a panel."""
    numbers = map(short, (left, height - tall, width, tall))
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(look, *numbers)


def short(number: float) -> str:
    """Return a number for SVG, rounded to hundredths."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
