"""Hold the evidence of a run: the send log, the servers' records and the CSV: `Records`. It judges nothing."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.crash.log_reading import UnreadableLogError, reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Event = dict[str, Any]
Row = dict[str, Any]

#: The actors in the history that stand for a person's wish: an operator's command, or a reader who asks for a new link.
OPERATORS = frozenset({"retry", "resolve", "resend", "renew", "skip", "missing"})


@dataclass(frozen=True)
class Person:
    """A row of the CSV."""

    key: str
    user_id: str
    email: str


@dataclass(frozen=True)
class Transition:
    """A row of the send log's history."""

    key: str
    at: float
    old: str
    new: str
    actor: str
    message_id: str | None = None
    token_id: str | None = None
    code: int | None = None
    reason: str = ""
    #: Empty in a campaign without steps.
    step: str = ""


@dataclass(frozen=True)
class Suppressed:
    """An address that was suppressed from outside of the run."""

    #: In lower case.
    address: str
    #: When the program had confirmed it (seconds since the epoch).
    at: float


@dataclass(frozen=True)
class Terms:
    """The limits that the campaign was given, and the stage of the run at which the evidence was taken."""

    #: Whether every mail carries a token.
    link: bool = True
    connections: int | None = None
    #: Number of messages and seconds, for every window.
    rates: tuple[tuple[int, float], ...] = ()
    #: The same for calls to Clerk, and for the messages to a recipient domain.
    call_rates: tuple[tuple[int, float], ...] = ()
    domain_rates: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    #: Seconds by which network and scheduling delays may shorten a window.
    squeeze: float = 0.05
    #: The same for calls to Clerk: a call has its permit before its connection is opened.
    call_squeeze: float = 0.05
    attempts: int = 5
    #: Seconds.
    first_delay: float = 30.0
    #: The SMTP codes of temporary faults that concern only the recipient.
    own_codes: tuple[int, ...] = (450, 451)
    #: Whether all that can be sent was sent: the faults are gone, and the last run ended by itself.
    finished: bool = True
    #: The most seconds from the intent of a message to its first dot; None: any number.
    intent_holds_s: float | None = None
    #: When the extra run began, on the machine's monotonic clock.
    epilogue: float | None = None


@dataclass(frozen=True)
class Records:
    """All evidence for the checker."""

    people: Sequence[Person]
    #: The output of `campaign log --format jsonl`.
    rows: Sequence[Row]
    #: The output of `campaign status --json`.
    status: dict[str, Any]
    transitions: Sequence[Transition]
    #: For each counted possible orphan, the user for whom the token was requested.
    orphans: Sequence[str]
    #: The ids of tokens whose revocation is not settled yet.
    unsettled: frozenset[str]
    smtp: Sequence[Event]
    clerk: Sequence[Event]
    #: When the log has the last intent to create a user, by address.
    creations: Mapping[str, float] = field(default_factory=dict)
    #: Sentences about intents that were written without a lease.
    unleased: Sequence[str] = ()
    #: How many intents had a lease.
    leased: int = 0
    #: Sentences from `leaks.scan`.
    leaks: Sequence[str] = ()
    #: How many places were scanned for leaks.
    scanned: int = 0
    #: Who said no.
    suppressed: Sequence[Suppressed] = ()
    #: The addresses of `campaign suppress list` at the end; None: it was not asked for.
    listed: frozenset[str] | None = None
    #: The Message-IDs of the mails that came back, all of which the program was told of.
    returned: Sequence[str] = ()
    terms: Terms = field(default_factory=Terms)

    @cached_property
    def accepted(self) -> list[Event]:
        """The acceptances of the mail server, in order."""
        return [event for event in self.smtp if event["event"] == "accept"]

    @cached_property
    def by_message(self) -> dict[str, list[Event]]:
        """The acceptances by Message-ID."""
        found: dict[str, list[Event]] = defaultdict(list)
        for event in self.accepted:
            found[event["message_id"]].append(event)
        return found

    @cached_property
    def tokens(self) -> dict[str, Event]:
        """The issued tokens, by token."""
        return {event["token"]: event for event in self.clerk if event["event"] == "token"}

    @cached_property
    def revoked(self) -> set[str]:
        """The ids of the revoked tokens."""
        return {event["id"] for event in self.clerk if event["event"] == "revoked"}

    @cached_property
    def used(self) -> set[str]:
        """The ids of the tokens that were used to sign in."""
        return {event["id"] for event in self.clerk if event["event"] == "used"}

    @cached_property
    def person(self) -> dict[str, Person]:
        """The people by key."""
        return {person.key: person for person in self.people}

    @cached_property
    def addresses(self) -> Counter[str]:
        """The number of people per address, in lower case."""
        return Counter(person.email.lower() for person in self.people)

    @cached_property
    def row(self) -> dict[tuple[str, str], Row]:
        """The send log's rows by key and step."""
        return {(row["key"], row.get("step", "")): row for row in self.rows}

    @cached_property
    def steps(self) -> list[str]:
        """The names of the campaign's steps, in the order of the log; one empty name without steps."""
        return list(dict.fromkeys(row.get("step", "") for row in self.rows)) or [""]

    @cached_property
    def intents(self) -> dict[str, Transition]:
        """The transitions to `sending`, by Message-ID."""
        return {one.message_id: one for one in self.transitions if one.new == "sending" and one.message_id}

    @cached_property
    def resent(self) -> Counter[str]:
        """How often an operator queued a row again, by key."""
        return Counter(one.key for one in self.transitions if one.new == "queued" and one.actor in OPERATORS)

    @cached_property
    def superseded(self) -> set[str]:
        """The Message-IDs of sent and uncertain mails that an operator queued again."""
        return {
            one.message_id
            for one in self.transitions
            if one.old in {"sent", "uncertain"} and one.new == "queued" and one.actor in OPERATORS and one.message_id
        }

    @cached_property
    def kept(self) -> set[str]:
        """The keys of uncertain rows that an operator resolved as sent."""
        return {one.key for one in self.transitions if one.new == "sent" and one.actor in OPERATORS}


def read_people(path: Path, *, key: str = "user_id") -> list[Person]:
    """Return the people of a CSV (UTF-8, comma)."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return [Person(row[key], row["user_id"], row["email"]) for row in csv.DictReader(lines, strict=True)]


def read_lines(path: Path) -> list[Event]:
    """Return the objects of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@dataclass(frozen=True)
class LogFile:
    """The evidence that only the send log's file contains."""

    transitions: list[Transition]
    orphans: list[str]
    unsettled: frozenset[str]
    creations: Mapping[str, float]


def read_records(
    log: str | Path,
    campaign: str,
    *,
    people: Path,
    recorded: Path,
    rows: Sequence[Row],
    status: dict[str, Any],
    terms: Terms,
) -> Records:
    """Return all evidence of a campaign, but for what its caller alone knows.

    Args:
        log: the send log, a file or a URL.
        campaign: its name.
        people: the CSV.
        recorded: the folder with what the servers wrote down.
        rows: the output of `campaign log --format jsonl`.
        status: the output of `campaign status --json`.
        terms: what held for the runs.
    """
    file = read_log(log, campaign)
    return Records(
        people=read_people(people),
        rows=rows,
        status=status,
        transitions=file.transitions,
        orphans=file.orphans,
        unsettled=file.unsettled,
        creations=file.creations,
        smtp=read_lines(recorded / "smtp.jsonl"),
        clerk=read_lines(recorded / "clerk.jsonl"),
        terms=terms,
    )


def read_log(place: str | Path, campaign: str) -> LogFile:
    """Return the history, possible orphans and unsettled revocations of a campaign; the log is a file or a URL."""
    name = {"campaign": campaign}
    ours = (
        "FROM {} JOIN delivery d ON d.id = {}.delivery_id "
        "JOIN campaign c ON c.id = d.campaign_id AND c.name = :campaign"
    )
    with reading(str(place)) as log:
        history = log.rows(
            "SELECT d.key, history.at, old_state, new_state, history.actor, history.message_id, "
            "history.token_id, history.code, history.reason, d.step "
            f"{ours.format('history', 'history')} ORDER BY history.id",
            name,
        )
        transitions = [Transition(*line) for line in history]
        orphans = [line[0] for line in log.rows(f"SELECT d.user_id {ours.format('orphan', 'orphan')}", name)]
        unsettled = frozenset(
            line[0]
            for line in log.rows(
                f"SELECT revocation.token_id {ours.format('revocation', 'revocation')} WHERE settled_at IS NULL", name
            )
        )
        creations = {line[0]: line[1] for line in log.rows("SELECT address, asked_at FROM user_creation", {})}
    return LogFile(transitions, orphans, unsettled, creations)


def read_states(place: str | Path) -> Counter[str]:
    """Return the number of rows in each state; none before the log has its table."""
    if isinstance(place, Path) and not place.exists():
        return Counter()
    try:
        with reading(str(place)) as log:
            rows = log.rows("SELECT state, count(*) FROM delivery GROUP BY state", {})
            return Counter(dict(rows))
    except UnreadableLogError:  # the run is still making it
        return Counter()
