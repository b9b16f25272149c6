"""Choose the name by which the program greets the mail server (EHLO): `client_name`."""

from __future__ import annotations

import re

_DOTTED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+")


def client_name(chosen: str | None, *, host: str, sender: str) -> str | None:
    """Return the name for EHLO (RFC 5321 §4.1.1.1), or None for the literal of the connection's own address.

    Relays such as Gmail's refuse address literals and `localhost`, and a container's host name has no dot, so the
    sender's domain stands in for it.

    Args:
        chosen: the operator's choice; it wins.
        host: the machine's host name.
        sender: the address of `from`.
    """
    return chosen or next((name for name in (host, sender.rpartition("@")[2]) if _is_public(name)), None)


def _is_public(name: str) -> bool:
    """Return whether a name is dotted and neither an IP address nor a name of the loopback."""
    return bool(_DOTTED.fullmatch(name)) and not name.lower().startswith("localhost.") and not name[-1].isdigit()
