"""Check the invariants I18 and I19: who said no, and what came back. Each yields None per case that holds."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.crash.records import Records

#: A row whose address does not exist or is disabled, and one whose address was suppressed.
_NOT_TO_BE_MAILED = re.compile(r"RCPT TO was answered: 5\d\d 5\.(?:1\.\d+|2\.1) |suppressed: ")


def no_is_kept(records: Records) -> Iterator[str | None]:
    """I18: nobody who was suppressed before the intent is mailed, and no suppression is lost."""
    keys: dict[str, list[str]] = defaultdict(list)
    for person in records.people:
        keys[person.email.lower()].append(person.key)
    listed = records.listed or frozenset()
    for one in records.suppressed:
        late = [
            step
            for step in records.transitions
            if step.key in keys[one.address] and step.new in {"issuing", "sending"} and step.at > one.at
        ]
        yield f"{one.address} was suppressed, and is {late[0].new} after that" if late else None
        yield None if one.address in listed else f"{one.address} was suppressed, and the list lost it"
    for row in records.rows:
        if records.listed is not None and _NOT_TO_BE_MAILED.match(row.get("reason") or ""):
            is_listed = row["email"].lower() in listed
            yield None if is_listed else f"{row['key']} is {row['state']} ({row['reason']}), its address not suppressed"


def returned_is_bounced(records: Records) -> Iterator[str | None]:
    """I19: a mail that came back, and no other, makes its row `bounced`: token revoked, address suppressed."""
    listed = records.listed or frozenset()
    became = [one for one in records.transitions if one.new == "bounced" != one.old]
    for one in became:
        good = one.actor == "bounces" and one.old in {"sent", "uncertain"} and one.message_id in records.returned
        yield None if good else f"{one.key}: {one.actor} made it bounced from {one.old} without a report"
    for message_id in records.returned:
        times = sum(one.message_id == message_id for one in became)
        intent = records.intents.get(message_id)
        row = records.row.get((intent.key, intent.step)) if intent else None
        if row is None or times != 1 or row["state"] != "bounced":
            yield f"{message_id} came back, its row is {row and row['state']} and became bounced {times} times"
            continue
        token = row["token_id"]
        yield None if token is None or token in records.revoked | records.used else f"{row['key']}: {token} lives on"
        is_listed = row["email"].lower() in listed
        yield None if is_listed else f"{row['key']} is bounced, and its address not suppressed"
