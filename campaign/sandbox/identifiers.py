"""Make ids in Clerk's form, a prefix and 27 characters: `new_id`, `id_from`."""

from __future__ import annotations

import hashlib
import secrets
import string

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase

#: The length of Clerk's ids.
_ID_LENGTH = 27


def new_id(prefix: str) -> str:
    """Return a new random id such as `sit_2Fq…`."""
    return _written(prefix, secrets.randbits(160))


def id_from(prefix: str, text: str) -> str:
    """Return the id for `text`: the same text always gives the same id."""
    return _written(prefix, int.from_bytes(hashlib.sha256(text.encode()).digest()[:20], "big"))


def _written(prefix: str, number: int) -> str:
    digits = []
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(digits)}"
