"""JSON as the send log holds it: compact, in its own letters, and the same text whatever library writes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

try:
    import orjson  # the extra `fast`
except ImportError:
    orjson = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable

_plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _by_orjson(value: object) -> str:
    return orjson.dumps(value).decode()


#: Returns the text of a value: strings, numbers, None, and lists, tuples and dictionaries of them.
encoded: Callable[[object], str] = _by_orjson if orjson else _plain
#: Returns the value of a text.
decoded: Callable[[str], Any] = orjson.loads if orjson else json.loads
