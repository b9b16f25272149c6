"""The SQL by name, read once from the `.sql` files beside this module. No SQL stands anywhere else."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import SimpleNamespace

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def schema() -> str:
    """Return the script that makes an empty log."""
    return (files(__package__) / "schema.sql").read_text("utf-8")


def _load() -> SimpleNamespace:
    text = (files(__package__) / "queries.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return SimpleNamespace(**{name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)})


#: Every statement of `queries.sql` as an attribute.
SQL = _load()
