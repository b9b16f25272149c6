"""What an address asks to happen to it: `name+bounce@…`. Who carries it out is `users.py` and `smtpd.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fate:
    """What the sandbox does with one address. Tags can be combined: `name+banned+defer1@…`."""

    #: `+bounce`: the mail server refuses it for good (550 5.1.1).
    bounce: bool = False
    #: `+deferN`: the mail server puts it off N times (451 4.7.1), then takes it.
    defer: int = 0
    #: `+drop`: the message is taken, and the connection dropped in place of the reply.
    drop: bool = False
    #: `+hang`: the message is taken, and the reply never comes.
    hang: bool = False
    #: `+nouser`: Clerk does not know the user.
    nouser: bool = False
    #: `+mismatch`: Clerk knows the user under another address.
    mismatch: bool = False
    #: `+unverified`: Clerk has not verified that the address is the user's.
    unverified: bool = False
    #: `+banned`: Clerk's user is banned.
    banned: bool = False
    #: `+locked`: Clerk's user is locked.
    locked: bool = False


_DEFER = re.compile(r"defer(\d{1,6})")

_FLAGS = frozenset({"bounce", "drop", "hang", "nouser", "mismatch", "unverified", "banned", "locked"})


def fate_of(address: str) -> Fate:
    """Return what `address` asks for; an ordinary one asks for nothing."""
    if "+" not in address:
        return _NONE
    local, _, _ = address.rpartition("@")
    tags = local.lower().split("+")[1:]
    flags = {tag: True for tag in tags if tag in _FLAGS}
    defer = max((int(found[1]) for tag in tags if (found := _DEFER.fullmatch(tag))), default=0)
    return Fate(defer=defer, **flags)


_NONE = Fate()
