"""Sign and verify the tags that name a recipient to outsiders, `Tags`: in links and in return paths.

A tag names a row of the send log and carries an HMAC, so nobody can make one, or turn one into another. The kinds have
different labels in the HMAC, so none serves as another: that of an unsubscribe link, that of a sign-in link, by which
its recipient asks for a new one, and that of a return path. A tag never expires and contains no address.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b32decode, b32encode, urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The length of a key in bytes.
KEY_BYTES = 32
_KEY_ID_BYTES = 1
#: Unsubscribe tokens and renewal tags: 1 + 8 + 16 bytes are 34 letters of base64url.
_TOKEN_ROW_BYTES, _TOKEN_MAC_BYTES, _TOKEN_LETTERS = 8, 16, 34
#: Bounce tags: 1 + 5 + 1 + 10 bytes are 28 letters of base32. Mail servers may fold a local part's case.
_BOUNCE_ROW_BYTES, _GENERATION_BYTES, _BOUNCE_MAC_BYTES, _BOUNCE_LETTERS = 5, 1, 10, 28
#: A bounce tag holds the generation modulo this.
GENERATIONS = 256

#: The row of tags for tests: the rows of a send log begin with 1.
NO_ROW = 0


def new_key() -> bytes:
    """Return a random key."""
    return secrets.token_bytes(KEY_BYTES)


class Tags:
    """The tags of one send log.

    Args:
        keys: the log's keys by id, 0 to 255; the one with the highest id signs, all of them verify.
    """

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        # each MAC begins with a copy, which takes half the time of `hmac.digest` and does not release the GIL
        self._keys = {number: hmac.new(key, digestmod=hashlib.sha256) for number, key in keys.items()}
        self._newest = max(self._keys)

    def unsubscribe_token(self, row: int, mailing_list: str) -> str:
        """Return the token of a row's unsubscribe link: 34 letters of base64url."""
        return self._unsubscribe_token(self._newest, row, mailing_list)

    def row_in_token(self, token: str) -> int | None:
        """Return the row that an unsubscribe token names, or None if it names none; the token may be forged."""
        data = _token_bytes(token)
        return None if data is None else int.from_bytes(data[_KEY_ID_BYTES : _KEY_ID_BYTES + _TOKEN_ROW_BYTES])

    def is_unsubscribe_token(self, token: str, mailing_list: str) -> bool:
        """Return whether this log signed the token for this list."""
        data = _token_bytes(token)
        if data is None or data[0] not in self._keys:
            return False
        row = int.from_bytes(data[_KEY_ID_BYTES : _KEY_ID_BYTES + _TOKEN_ROW_BYTES])
        # the whole texts are compared: the last letter has bits that carry no data
        return hmac.compare_digest(self._unsubscribe_token(data[0], row, mailing_list), token)

    def renewal_tag(self, row: int) -> str:
        """Return the tag by which a row's recipient asks for a new link: 34 letters of base64url."""
        return self._renewal_tag(self._newest, row)

    def open_renewal_tag(self, tag: str) -> int | None:
        """Return the row of a renewal tag, or None if this log did not sign it."""
        data = _token_bytes(tag)
        if data is None or data[0] not in self._keys:
            return None
        row = int.from_bytes(data[_KEY_ID_BYTES : _KEY_ID_BYTES + _TOKEN_ROW_BYTES])
        return row if hmac.compare_digest(self._renewal_tag(data[0], row), tag) else None

    def bounce_tag(self, row: int, generation: int) -> str:
        """Return the tag of a message's return path: 28 letters of base32, in lower case."""
        return self._bounce_tag(self._newest, row, generation % GENERATIONS)

    def open_bounce_tag(self, tag: str) -> tuple[int, int] | None:
        """Return the row and the generation (modulo 256) of a bounce tag, or None if this log did not sign it."""
        tag = tag.lower()
        data = _tag_bytes(tag)
        if data is None or data[0] not in self._keys:
            return None
        row = int.from_bytes(data[_KEY_ID_BYTES : _KEY_ID_BYTES + _BOUNCE_ROW_BYTES])
        generation = data[_KEY_ID_BYTES + _BOUNCE_ROW_BYTES]
        if not hmac.compare_digest(self._bounce_tag(data[0], row, generation), tag):
            return None
        return row, generation

    def _unsubscribe_token(self, key: int, row: int, mailing_list: str) -> str:
        return self._token(key, b"unsubscribe\0" + mailing_list.encode() + b"\0", row)

    def _renewal_tag(self, key: int, row: int) -> str:
        return self._token(key, b"renewal\0", row)

    def _token(self, key: int, label: bytes, row: int) -> str:
        named = row.to_bytes(_TOKEN_ROW_BYTES)
        mac = self._mac(key, label + named)[:_TOKEN_MAC_BYTES]
        return urlsafe_b64encode(key.to_bytes(_KEY_ID_BYTES) + named + mac).decode().rstrip("=")

    def _bounce_tag(self, key: int, row: int, generation: int) -> str:
        named = row.to_bytes(_BOUNCE_ROW_BYTES) + generation.to_bytes(_GENERATION_BYTES)
        mac = self._mac(key, b"bounce\0" + named)[:_BOUNCE_MAC_BYTES]
        return b32encode(key.to_bytes(_KEY_ID_BYTES) + named + mac).decode().rstrip("=").lower()

    def _mac(self, key: int, data: bytes) -> bytes:
        mac = self._keys[key].copy()
        mac.update(data)
        return mac.digest()


def _token_bytes(token: str) -> bytes | None:
    """Return the bytes of an unsubscribe token or a renewal tag, or None if it has another length or another letter."""
    if len(token) != _TOKEN_LETTERS or not token.isascii():
        return None
    try:
        data = urlsafe_b64decode(token + "==")
    except ValueError:
        return None
    # the decoder passes over foreign letters
    return data if len(data) == _KEY_ID_BYTES + _TOKEN_ROW_BYTES + _TOKEN_MAC_BYTES else None


def _tag_bytes(tag: str) -> bytes | None:
    """Return the bytes of a bounce tag, or None if it has another length or another letter."""
    if len(tag) != _BOUNCE_LETTERS or not tag.isascii():
        return None
    try:
        return b32decode(tag.upper() + "====")
    except ValueError:
        return None
