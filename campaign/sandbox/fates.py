"""Read from an address how the sandbox treats it (`name+bounce@…`): `fate_of`."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fate:
    """How the sandbox treats one address. Tags can be combined: `name+banned+defer1@…`."""

    #: `+bounce`: the mail server rejects it permanently (550 5.1.1).
    bounce: bool = False
    #: `+deferN`: the mail server defers it N times (451 4.7.1), then accepts it.
    defer: int = 0
    #: `+drop`: the mail server stores the message, then closes the connection without a reply.
    drop: bool = False
    #: `+hang`: the mail server stores the message, but never replies.
    hang: bool = False
    #: `+nouser`: Clerk has no user with this address, and creates none.
    nouser: bool = False
    #: `+mismatch`: Clerk has the user under a different address.
    mismatch: bool = False
    #: `+unverified`: the address is not verified at Clerk.
    unverified: bool = False
    #: `+banned`: the user is banned at Clerk.
    banned: bool = False
    #: `+locked`: the user is locked at Clerk.
    locked: bool = False
    #: `+nomember`: the user is a member of no organization at Clerk.
    nomember: bool = False
    #: `+task-KEY`: after signing in, Clerk still asks for this task; `+task`: for `choose-organization`.
    task: str = ""


_DEFER = re.compile(r"defer(\d{1,6})")

#: Clerk's keys of the tasks (`SessionTask` of its JavaScript reference).
_TASK = re.compile(r"task(?:-(choose-organization|reset-password|setup-mfa))?")

_FLAGS = frozenset({"bounce", "drop", "hang", "nouser", "mismatch", "unverified", "banned", "locked", "nomember"})


def fate_of(address: str) -> Fate:
    """Return the fate that the tags of `address` ask for; an address without tags is treated normally."""
    if "+" not in address:
        return _NONE
    local, _, _ = address.rpartition("@")
    tags = local.lower().split("+")[1:]
    flags = {tag: True for tag in tags if tag in _FLAGS}
    defer = max((int(found[1]) for tag in tags if (found := _DEFER.fullmatch(tag))), default=0)
    task = next((found[1] or "choose-organization" for tag in tags if (found := _TASK.fullmatch(tag))), "")
    return Fate(defer=defer, task=task, **flags)


_NONE = Fate()
