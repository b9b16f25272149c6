"""The Message-ID of a recipient's email: the same for the identical message, another with another token."""

from __future__ import annotations

import hashlib
import hmac


def message_id(secret: bytes, key: str, generation: int, *, sender: str) -> str:
    """Return a Message-ID (RFC 5322 §3.6.4), in its angle brackets, from which nobody learns whom it is for.

    Args:
        secret: the campaign's own, kept in the send log.
        key: the recipient's.
        generation: of the token.
        sender: the address whose domain stands behind the @.
    """
    digest = hmac.new(secret, f"{key}\0{generation}".encode(), hashlib.sha256).hexdigest()
    return f"<{digest[:32]}@{sender.rpartition('@')[2]}>"
