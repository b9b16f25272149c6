"""Render a page of figures from a template, with the style of all such pages in it: `rendered`."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from campaign.reporting.report import charts, units

if TYPE_CHECKING:
    from collections.abc import Mapping


def rendered(template: str, context: Mapping[str, object]) -> str:
    """Return a self-contained HTML page.

    Args:
        template: the source, with the filters of `units`; `style` and `digest` are the style sheet and its hash for
            the Content-Security-Policy.
        context: the other variables.
    """
    style = (resources.files(__package__) / "page.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    env = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    env.filters |= {
        "count": "{:,}".format,
        "share": units.share,
        "lasting": units.lasting,
        "moment": units.moment,
        "stamp": units.stamp,
    }
    own = {"bar": charts.bar, "histogram": charts.histogram}
    # The style is this program's own file and contains no data.
    shown = {"style": Markup(style), "digest": Markup(f"'sha256-{digest}'")}  # noqa: S704
    return env.from_string(template).render(context, **own, **shown)
