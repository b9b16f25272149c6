"""Check the invariants I1 to I8: who got what. Each yields None per case that holds, else a sentence."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.crash.records import Event, Records

STATES = ("queued", "issuing", "sending", "sent", "failed", "uncertain", "skipped", "bounced")
#: The states in which the mail was or may have been delivered.
OUT = ("sent", "uncertain")
#: The states of a mail that was accepted, or may have been.
TAKEN = (*OUT, "bounced")


def one_state_each(records: Records) -> Iterator[str | None]:
    """I1: every row has exactly one state and the counts add up to the CSV."""
    wanted = Counter((person.key, step) for person in records.people for step in records.steps)
    found = Counter((row["key"], row.get("step", "")) for row in records.rows)
    for each in wanted | found:
        yield None if wanted[each] == found[each] else f"{each[0]}: {wanted[each]} in the CSV, {found[each]} in the log"
    counts = Counter(row["state"] for row in records.rows)
    for state in sorted({*STATES, *counts}):
        said = records.status.get(state)
        good = state in STATES and said == counts[state]
        yield None if good else f"{state}: status says {said}, the log's rows {counts[state]}"
    total = records.status.get("recipients")
    yield None if total == len(records.people) else f"status counts {total} of {len(records.people)} recipients"


def nobody_twice(records: Records) -> Iterator[str | None]:
    """I2: no recipient was accepted twice in one step (except those that an operator had sent again)."""
    allowed = Counter({address: number * len(records.steps) for address, number in records.addresses.items()})
    for key, times in records.resent.items():
        if key in records.person:
            allowed[records.person[key].email.lower()] += times
    for address, times in Counter(_rcpt(event) for event in records.accepted).items():
        yield None if times <= allowed[address] else f"{address} was accepted {times} times"
    for message_id, events in records.by_message.items():
        yield None if len(events) == 1 else f"{message_id} was accepted {len(events)} times"


def sent_is_true(records: Records) -> Iterator[str | None]:
    """I3: `sent` means exactly one acceptance with that Message-ID."""
    for row in records.rows:
        if row["state"] != "sent":
            continue
        events = records.by_message.get(row["message_id"] or "", [])
        good = len(events) == 1 or (row["key"] in records.kept and not events)
        if good and events:
            good = _rcpt(events[0]) == row["email"].lower()
        yield None if good else f"{row['key']} is sent, and {len(events)} acceptances bear its Message-ID and address"


def accepted_is_recorded(records: Records) -> Iterator[str | None]:
    """I4: an acceptance means `sent` or `uncertain`, or `bounced` after it came back."""
    for event in records.accepted:
        message_id = event["message_id"]
        intent = records.intents.get(message_id)
        row = records.row.get((intent.key, intent.step)) if intent else None
        if intent is None or row is None:
            yield f"{_rcpt(event)}: {message_id} was accepted and the log does not know it"
        elif message_id in records.superseded:
            yield None
        else:
            good = row["message_id"] == message_id and row["state"] in TAKEN
            yield None if good else f"{row['key']} was accepted and is {row['state']}"


def right_person(records: Records) -> Iterator[str | None]:
    """I5: the token in a mail was issued for that row's user, and the envelope is that row's address."""
    for event in records.accepted:
        intent = records.intents.get(event["message_id"])
        person = records.person.get(intent.key) if intent else None
        if person is None:
            yield f"{_rcpt(event)}: nobody's mail"
            continue
        address = person.email.lower()
        if [one.lower() for one in event["rcpt"]] != [address] or [one.lower() for one in event["to"]] != [address]:
            yield f"{person.key}: the mail of {person.email} went to {event['rcpt']} (To: {event['to']})"
            continue
        yield _wrong_token(records, event, person.user_id)


def _wrong_token(records: Records, event: Event, user_id: str) -> str | None:
    if len(event["tokens"]) != records.terms.link:
        return f"{user_id}: {len(event['tokens'])} different tokens in one mail"
    for part, tokens in event["by_part"].items():
        if tokens != event["tokens"]:
            return f"{user_id}: the links of the {part} part lack the token"
    for text in event["tokens"]:
        token = records.tokens.get(text)
        if token is None:
            return f"{user_id}: the token was never issued, the link is dead"
        if token["user_id"] != user_id:
            return f"{user_id} was sent a token of {token['user_id']}"
    return None


def no_token_shared(records: Records) -> Iterator[str | None]:
    """I6: no token is in two mails."""
    for text, times in Counter(text for event in records.accepted for text in event["tokens"]).items():
        name = records.tokens[text]["id"] if text in records.tokens else "an unknown token"
        yield None if times == 1 else f"{name} is in {times} accepted mails"


def links_live(records: Records) -> Iterator[str | None]:
    """I7: the token of an accepted mail was neither revoked by the sender, unless it came back, nor expired."""
    for event in records.accepted:
        for text in event["tokens"]:
            token = records.tokens.get(text)
            if token is None or event["message_id"] in records.superseded:
                continue
            intent = records.intents.get(event["message_id"])
            if token["id"] in records.revoked and intent and intent.step != records.steps[-1]:
                yield None  # the next step revokes the link before it sends another
            elif token["id"] in records.revoked and event["message_id"] not in records.returned:
                yield f"{_rcpt(event)}: {token['id']} was revoked, the link is dead"
            else:
                late = token["expires_at"] <= event["wall"]
                yield f"{_rcpt(event)}: {token['id']} had run out before the mail was accepted" if late else None


def no_token_astray(records: Records) -> Iterator[str | None]:
    """I8: live tokens are those of `sent` and `uncertain` rows and the counted possible orphans."""
    out = {row["token_id"] for row in records.rows if row["state"] in OUT}
    named = {one.token_id for one in records.transitions} | {row["token_id"] for row in records.rows}
    orphans = Counter(records.orphans)
    good = records.revoked | records.used | out
    for token in records.tokens.values():
        if token["id"] in good:
            yield None
        elif token["id"] in records.unsettled:
            yield f"{token['id']} of {token['user_id']} still waits to be revoked"
        elif token["id"] in named:
            yield f"{token['id']} of {token['user_id']} lives, belongs to no mail and is not to be revoked"
        elif orphans[token["user_id"]]:
            orphans[token["user_id"]] -= 1
            yield None
        else:
            yield f"{token['id']} of {token['user_id']} lives, and the log neither names nor counts it"


def _rcpt(event: Event) -> str:
    return str(event["rcpt"][0]).lower() if event["rcpt"] else ""
