"""Mask an address so that its owner recognises it and nobody else can read it: `address_hint`."""

from __future__ import annotations


def address_hint(email: str) -> str:
    """Return `a…@example.com` for `ada@example.com`; of a local part of one letter nothing is left.

    A domain in A-labels is shown as people write it (RFC 3492), `…@bücher.example`.
    """
    local, _, domain = email.rpartition("@")
    shown = local[0] if len(local) > 1 else ""
    if "xn--" in domain:
        domain = ".".join(map(_unicode, domain.split(".")))
    return f"{shown}…@{domain}"


def _unicode(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label
    return decoded if decoded.isprintable() else label
