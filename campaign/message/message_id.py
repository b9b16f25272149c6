"""Compute the Message-ID of a recipient's email: `message_id`. It changes only when the token changes."""

from __future__ import annotations

import hashlib


def message_id(secret: bytes, key: str, generation: int, *, sender: str) -> str:
    """Return a Message-ID (RFC 5322 §3.6.4) in angle brackets; it does not reveal the recipient.

    Args:
        secret: the campaign's secret from the send log; at most 64 bytes.
        key: the recipient's key.
        generation: the token's generation.
        sender: the address whose domain follows the @.
    """
    digest = hashlib.blake2b(f"{key}\0{generation}".encode(), key=secret, digest_size=16).hexdigest()
    return f"<{digest}@{sender.rpartition('@')[2]}>"
