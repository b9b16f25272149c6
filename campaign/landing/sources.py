"""Read the page's sources and put them together: `source`, `filled`, `policy`."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

#: `name /*: Type */` and `call/*<Type>*/`: valid JavaScript, and TypeScript once the comment marks are removed.
_TYPE = re.compile(r"\s*/\*(:[^*]+?|<[^*]+>)\s*\*/")


def policy(origin: str, *, scripts: Sequence[str], style: str, forms: str) -> str:
    """Return a Content-Security-Policy that allows the page's own scripts and style, Clerk's host, and one for forms.

    `blob:` workers are allowed because Clerk runs its timers in one. No third party is allowed.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_digest, scripts))} {origin}",
            f"style-src {_digest(style)}",
            f"connect-src {origin}",
            "img-src data:",
            "worker-src blob:",
            "base-uri 'none'",
            f"form-action {forms}",
        ]
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def constant(name: str, value: object, *, typed: str = "") -> str:
    """Return the declaration of a constant."""
    annotation = f" /*: {typed} */" if typed else ""
    return f"const {name}{annotation} = {script_json(value, indent=2)};"


def script_json(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON for a <script> element."""
    # An unescaped "<" could end the <script> element that contains the value.
    return json.dumps(value, ensure_ascii=False, indent=indent).replace("<", "\\u003c")


def with_types(script: str) -> str:
    """Return a script with its types."""
    return _TYPE.sub(r"\1", script)


def template_literal(name: str, text: str) -> str:
    """Return the declaration of a constant whose text keeps its lines."""
    quoted = text.replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")
    return f"const {name} = `\n{quoted}`;"


def without_types(script: str) -> str:
    """Return a script without its types."""
    return _TYPE.sub("", script)


def filled(page: str, *, comment: str = "", **parts: str) -> str:
    """Return a page with its placeholders (`@name@`) replaced."""
    pieces = re.split(rf"{re.escape(comment)}@([a-z]+)@", page)
    return "".join(parts[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def json_source(name: str) -> object:
    """Return the value in a JSON file."""
    return json.loads(source(name))


def source(name: str) -> str:
    """Return the text of a file."""
    return (_folder() / name).read_text(encoding="utf-8")


def _folder() -> Traversable:
    """Return the folder of the page's sources: in the installed package, or else in the checkout."""
    package = resources.files("campaign")
    installed = package / "landing_pages"
    return installed if installed.is_dir() else Path(str(package)).parent / "templates" / "landing"
