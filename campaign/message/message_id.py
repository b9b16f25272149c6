"""The Message-ID of a recipient's email: the same for the identical message, another with another token."""

from __future__ import annotations

import hashlib


def message_id(secret: bytes, key: str, generation: int, *, sender: str) -> str:
    """Return a Message-ID (RFC 5322 §3.6.4), in its angle brackets, from which nobody learns whom it is for.

    Args:
        secret: the campaign's own, kept in the send log; at most 64 octets.
        key: the recipient's.
        generation: of the token.
        sender: the address whose domain stands behind the @.
    """
    digest = hashlib.blake2b(f"{key}\0{generation}".encode(), key=secret, digest_size=16).hexdigest()
    return f"<{digest}@{sender.rpartition('@')[2]}>"
