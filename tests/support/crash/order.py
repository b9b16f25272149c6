"""Check the invariants I9 to I17 and I21: order, rates, numbers. Each yields None per case, or a sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from support.crash.records import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.crash.records import Records, Transition

#: Tolerance (seconds) between the sender's clock and the server's, and for rounding.
_CLOCKS = 0.05
#: Who but an operator may leave an end state: a changed CSV, and the circuit breaker after a refusal of the sender.
_ALSO_LEAVES = {"skipped": frozenset({"enlist"}), "failed": frozenset({"breaker"})}
_END_STATES = frozenset({"sent", "failed", "uncertain", "skipped", "bounced"})


def intent_first(records: Records) -> Iterator[str | None]:
    """I9: the intent was durable before the final dot, and the attempt before the token was requested."""
    for event in records.smtp:
        if event["event"] in {"accept", "dot"} and event["rcpt"] and "witnessed" in event:
            seen = event["witnessed"]
            yield None if seen else f"{event['message_id']}: no intent on record at the dot"
    for event in records.accepted:
        intent = records.intents.get(event["message_id"])
        if intent is None or intent.at > event["wall"] + _CLOCKS:
            yield f"{event['message_id']}: the history holds no earlier intent"
            continue
        ids = {records.tokens[text]["id"] for text in event["tokens"] if text in records.tokens}
        good = not ids or ids == {intent.token_id}
        yield None if good else f"{event['message_id']}: the token's id was not on record before the mail left"
    asked = Counter(one.key for one in records.transitions if one.new == "issuing")
    made = Counter(token["user_id"] for token in records.tokens.values())
    for person in records.people:
        good = made[person.user_id] <= asked[person.key]
        yield None if good else f"{person.key}: {made[person.user_id]} tokens in {asked[person.key]} attempts"


def users_once(records: Records) -> Iterator[str | None]:
    """I20: each person gets at most one user, whom Clerk is asked for once, after the intent was durable."""
    made = Counter(event["user_id"] for event in records.clerk if event["event"] == "user")
    for user_id, times in made.items():
        yield None if times == 1 else f"Clerk was asked {times} times to create {user_id}"
    for event in records.clerk:
        if event["event"] == "user":
            at = records.creations.get(event["address"].lower())
            good = at is not None and at <= event["wall"] + _CLOCKS
            yield None if good else f"{event['user_id']} was created, and the log holds no earlier intent"


def within_rates(records: Records) -> Iterator[str | None]:
    """I10: messages, a domain's messages and Clerk's calls per window stay within the limit, across restarts."""
    terms, squeeze = records.terms, records.terms.squeeze
    # a message counts when its dot arrived, whatever the answer was
    dots = [event for event in records.smtp if event["event"] in {"accept", "dot"} and event["rcpt"]]
    yield from _windows_kept("messages", sorted(event["t"] for event in dots), terms.rates, squeeze)
    for domain, rates in terms.domain_rates.items():
        times = sorted(event["t"] for event in dots if event["rcpt"][0].lower().endswith(f"@{domain}"))
        yield from _windows_kept(f"messages to {domain}", times, rates, squeeze)
    calls = sorted(event["t"] for event in records.clerk if event["event"] == "request")
    yield from _windows_kept("calls to Clerk", calls, terms.call_rates, terms.call_squeeze)


def _windows_kept(
    what: str, times: list[float], rates: tuple[tuple[int, float], ...], squeeze: float
) -> Iterator[str | None]:
    for rate, period in rates:
        for windows in (1, 10):  # 1 shows a burst, 10 a small excess that the clock tolerance hides in one window
            count, seconds = rate * windows, period * windows
            for first, last in zip(times, times[count:], strict=False):
                span = last - first
                good = span >= seconds - squeeze
                yield None if good else f"{count + 1} {what} within {span:.3f} s, allowed are {count} in {seconds:g} s"


def within_connections(records: Records) -> Iterator[str | None]:
    """I11: open connections stay within the limit."""
    limit = records.terms.connections
    for event in records.smtp:
        if limit is not None and event["event"] == "open":
            yield None if event["open"] <= limit else f"{event['open']} connections were open, allowed are {limit}"


def no_secret_elsewhere(records: Records) -> Iterator[str | None]:
    """I12: secrets are only in the messages."""
    yield from records.leaks
    yield from [None] * records.scanned


def nothing_more(records: Records) -> Iterator[str | None]:
    """I13: one more run sends no DATA and requests no token."""
    begun = records.terms.epilogue
    if begun is None:
        return
    late = [event for event in records.smtp if event["event"] in {"data", "accept"} and event["t"] > begun]
    yield f"one more run sent {len(late)} messages" if late else None
    asked = [event for event in records.clerk if event.get("stage") == "create" and event["t"] > begun]
    yield f"one more run asked for {len(asked)} tokens" if asked else None


def nobody_left(records: Records) -> Iterator[str | None]:
    """I14: once the faults are gone, no row stays `queued` or in progress."""
    if not records.terms.finished:
        return
    for row in records.rows:
        stuck = row["state"] in {"queued", "issuing", "sending"}
        yield f"{row['key']} is still {row['state']}" if stuck else None


def policy_kept(records: Records) -> Iterator[str | None]:
    """I15: the attempts and the delays between them follow the retry policy."""
    terms = records.terms
    for (key, _), steps in _by_row(records).items():
        faults = 0
        for one, following in pairwise([*steps, None]):
            if one is None:
                continue
            if one.actor in OPERATORS:
                faults = 0
            if one.actor != "run" or one.code not in terms.own_codes or one.old not in {"issuing", "sending", "queued"}:
                continue
            if one.reason.startswith("MAIL FROM "):  # the server is busy, for every recipient
                continue
            faults += 1
            if faults > terms.attempts or (faults == terms.attempts and one.new == "queued"):
                yield f"{key}: {faults} temporary refusals, and it was to be tried again"
            elif one.new == "queued" and following is not None and following.actor == "run":
                gap, least = following.at - one.at, min(3600.0, terms.first_delay * 2.0 ** (faults - 1))
                yield None if gap >= least - _CLOCKS else f"{key}: tried again after {gap:.2f} s instead of {least:g} s"


def end_states_last(records: Records) -> Iterator[str | None]:
    """I16: the history has no gaps, and only a command, or the circuit breaker from `failed`, leaves an end state."""
    steps_of = _by_row(records)
    for (key, _), steps in steps_of.items():
        if steps[0].old not in {"queued", "skipped"}:
            yield f"{key}: the history begins in {steps[0].old}"
        for before, after in pairwise(steps):
            if before.new != after.old:
                yield f"{key}: the history jumps from {before.new} to {after.old}"
        for one in steps:
            by = OPERATORS | _ALSO_LEAVES.get(one.old, frozenset())
            if one.actor == "bounces":  # it adds a line without a change, or makes what was accepted `bounced`
                ended = one.new != one.old and (one.new != "bounced" or one.old not in {"sent", "uncertain"})
            else:
                ended = one.old in _END_STATES and one.actor not in by
            yield f"{key}: {one.actor} took it from {one.old} to {one.new}" if ended else None
    for row in records.rows:
        found = steps_of.get((row["key"], row.get("step", "")))
        last = found[-1].new if found else row["state"]
        good = last == row["state"] and (found or row["state"] in {"queued", "skipped"})
        yield None if good else f"{row['key']} is {row['state']}, its history ends in {last if found else 'nothing'}"


def few_in_doubt(records: Records) -> Iterator[str | None]:
    """I17: a crash leaves at most as many uncertain rows as there are connections."""
    limit = records.terms.connections
    # A run happens between two recoveries that find rows in `sending`: that run wrote them.
    for by_recovery, steps in groupby(records.transitions, lambda one: one.actor == "recovery"):
        found = sum(one.new == "uncertain" for one in steps)
        if by_recovery and limit is not None:
            yield None if found <= limit else f"{found} rows became uncertain at once, with {limit} connections"


def within_lease(records: Records) -> Iterator[str | None]:
    """I21: an intent is written while the worker's lease holds, and the dot follows it soon."""
    yield from records.unleased
    yield from [None] * records.leased
    longest = records.terms.intent_holds_s
    if longest is None:
        return
    seen: set[str] = set()
    for event in records.smtp:
        if event["event"] in {"accept", "dot"} and event["rcpt"] and event["message_id"] not in seen:
            seen.add(event["message_id"])
            intent = records.intents.get(event["message_id"])
            if intent is not None:  # otherwise I9 tells
                late = event["wall"] - intent.at > longest + _CLOCKS
                yield f"{event['message_id']}: the dot came {event['wall'] - intent.at:.1f} s late" if late else None


def protocol_kept(records: Records) -> Iterator[str | None]:
    """SMTP's rules were kept: order, line ends, lengths, extensions."""
    for event in records.smtp:
        if event["event"] == "violation":
            yield f"{event['what']}: {event['line'][:60]}"
        elif event["event"] in {"accept", "dot"}:
            yield None


def _by_row(records: Records) -> dict[tuple[str, str], list[Transition]]:
    """Return the history of each row, by key and step of the campaign."""
    found: dict[tuple[str, str], list[Transition]] = defaultdict(list)
    for one in records.transitions:
        found[one.key, one.step].append(one)
    return found
