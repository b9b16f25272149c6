"""Compute the Message-ID of a recipient's email: `message_id`. It changes only with the step or the token."""

from __future__ import annotations

import hashlib


def message_id(secret: bytes, key: str, generation: int, *, sender: str, step: str = "") -> str:
    """Return a Message-ID (RFC 5322 §3.6.4) in angle brackets; it does not reveal the recipient.

    Args:
        secret: the campaign's secret from the send log; at most 64 bytes.
        key: the recipient's key.
        generation: the token's generation.
        sender: the address whose domain follows the @.
        step: the step's name; empty in a campaign without steps.
    """
    # a key holds no control character, so no key is another one with a step behind it
    content = f"{key}\0{generation}" + (f"\0{step}" if step else "")
    digest = hashlib.blake2b(content.encode(), key=secret, digest_size=16).hexdigest()
    return f"<{digest}@{sender.rpartition('@')[2]}>"
