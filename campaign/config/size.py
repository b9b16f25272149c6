"""Parse and format a size such as `"10 MB"`: `parse_size`, `size_text`."""

from __future__ import annotations

import re

_SIZE = re.compile(r"\s*([0-9]{1,12})\s*(B|kB|KB|MB|GB)?\s*")
#: SI prefixes, as mail providers give their limits.
_UNITS = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1_000_000, "GB": 1_000_000_000}


def parse_size(text: str) -> int:
    """Return the bytes that a text such as `"10 MB"`, `"500 kB"` or `"10240000"` means.

    Raises:
        ValueError: the text is not a size.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is not a size; write one like "10 MB" or "500 kB"')
    return int(found[1]) * _UNITS[found[2] or "B"]


def size_text(count: int) -> str:
    """Return a number of bytes as `812 B`, `8.4 kB` or `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 999_950 else f"{count / 1_000_000:.1f} MB"
