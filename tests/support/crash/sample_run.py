"""Build the evidence of an imaginary run, step by step, for the checker's own tests to alter: `SampleRun`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from support.crash.records import Person, Records, Suppressed, Terms, Transition

WALL = 1_800_000_000.0


def token_text(name: str) -> str:
    """Return a token in the form of a JWT."""
    return f"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.{name * 12}.{name[::-1] * 20}"


@dataclass
class SampleRun:
    """An imaginary run, built step by step and then altered by a test."""

    people: list[Person] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    unsettled: set[str] = field(default_factory=set)
    smtp: list[dict[str, Any]] = field(default_factory=list)
    clerk: list[dict[str, Any]] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    unleased: list[str] = field(default_factory=list)
    suppressed: list[Suppressed] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)
    returned: list[str] = field(default_factory=list)
    creations: dict[str, float] = field(default_factory=dict)
    terms: Terms = field(
        default_factory=lambda: Terms(connections=2, first_delay=10.0, attempts=3, intent_holds_s=30.0)
    )
    status: dict[str, Any] | None = None
    now: float = 0.0

    def step(self, key: str, old: str, new: str, **more: Any) -> None:  # noqa: ANN401 - any column
        """Record a transition."""
        self.now += 1
        given = {"actor": "run", **more}
        self.transitions.append(Transition(key=key, at=WALL + self.now, old=old, new=new, **given))

    def add(self, key: str, state: str, **more: Any) -> None:  # noqa: ANN401 - any column
        """Add a person, with the final row in the log."""
        email = f"{key}@example.com"
        self.people.append(Person(key, key, email))
        row = {"key": key, "user_id": key, "email": email, "state": state, "message_id": None, "token_id": None}
        self.rows.append({**row, **more})

    def issue(self, key: str, name: str, **more: Any) -> str:  # noqa: ANN401 - any field
        """Record that Clerk issued a token for a user, and return the token."""
        self.now += 1
        text = token_text(name)
        expires = {"expires_at": WALL + 9e5, **more}
        event = {"event": "token", "id": f"sit_{name}", "token": text, "user_id": key, "wall": WALL + self.now}
        self.clerk.append({**event, "t": self.now, **expires})
        return text

    def accept(self, key: str, text: str, message_id: str, **more: Any) -> None:  # noqa: ANN401 - any field
        """Record that the mail server accepted a mail."""
        self.now += 1
        address = f"{key}@example.com"
        event = {
            "event": "accept",
            "t": self.now,
            "wall": WALL + self.now,
            "rcpt": [address],
            "to": [address],
            "message_id": message_id,
            "tokens": [text],
            "by_part": {"text/html": [text], "text/plain": [text]},
            "witnessed": True,
        }
        self.smtp.append({**event, **more})

    def send(self, key: str, name: str, *, state: str = "sent", step: str = "") -> None:
        """Record a whole delivery, from the claim to the settled row."""
        self.step(key, "queued", "issuing", step=step)
        text = self.issue(key, name)
        self.step(key, "issuing", "sending", message_id=f"<{name}>", token_id=f"sit_{name}", step=step)
        self.accept(key, text, f"<{name}>")
        self.step(key, "sending", state, message_id=f"<{name}>", token_id=f"sit_{name}", code=250, step=step)

    def create_user(self, key: str) -> None:
        """Record that Clerk created a user, and before that the intent."""
        self.now += 1
        address = f"{key}@example.com"
        self.creations[address] = WALL + self.now
        event = {"event": "user", "user_id": key, "address": address, "again": False}
        self.clerk.append({**event, "t": self.now, "wall": WALL + self.now})

    def say_no(self, key: str) -> None:
        """Record that an address is suppressed from now on."""
        self.now += 1
        self.suppressed.append(Suppressed(f"{key}@example.com", WALL + self.now))
        self.listed.add(f"{key}@example.com")

    def records(self) -> Records:
        """Return the evidence for the checker."""
        counts = dict.fromkeys(("queued", "issuing", "sending", "sent", "failed", "uncertain", "skipped", "bounced"), 0)
        for row in self.rows:
            counts[row["state"]] = counts.get(row["state"], 0) + 1
        status = {"campaign": "c", "recipients": len({row["key"] for row in self.rows}), **counts}
        return Records(
            people=self.people,
            rows=self.rows,
            status={**status, **(self.status or {})},
            transitions=self.transitions,
            orphans=self.orphans,
            unsettled=frozenset(self.unsettled),
            smtp=self.smtp,
            clerk=self.clerk,
            creations=self.creations,
            leaks=self.leaks,
            scanned=3,
            unleased=self.unleased,
            suppressed=self.suppressed,
            listed=frozenset(self.listed),
            returned=self.returned,
            terms=self.terms,
        )


def true_story() -> SampleRun:
    """Return a correct run with one of each: sent, refused, in doubt, delayed, lost, skipped, suppressed, returned."""
    run = SampleRun()
    run.smtp += [{"event": "open", "open": 1, "t": 0.1}, {"event": "open", "open": 2, "t": 0.2}]
    run.add("ada", "sent", message_id="<a>", token_id="sit_a")
    run.send("ada", "a")
    run.add("bob", "failed", message_id="<b>", token_id="sit_b")
    run.step("bob", "queued", "issuing")
    run.issue("bob", "b")
    run.step("bob", "issuing", "sending", message_id="<b>", token_id="sit_b")
    run.step("bob", "sending", "failed", message_id="<b>", token_id="sit_b", code=550)
    run.clerk.append({"event": "revoked", "id": "sit_b", "t": run.now, "wall": WALL + run.now})
    run.add("cyd", "uncertain", message_id="<c>", token_id="sit_c")
    run.send("cyd", "c", state="uncertain")
    run.add("dan", "sent", message_id="<d2>", token_id="sit_d2")
    run.step("dan", "queued", "issuing")
    run.issue("dan", "d1")
    run.step("dan", "issuing", "queued", code=451, token_id="sit_d1")
    run.clerk.append({"event": "revoked", "id": "sit_d1", "t": run.now, "wall": WALL + run.now})
    run.now += 20
    run.send("dan", "d2")
    run.add("eve", "sent", message_id="<e>", token_id="sit_e")
    run.step("eve", "queued", "issuing")
    run.issue("eve", "e0")
    run.orphans.append("eve")
    run.step("eve", "issuing", "queued", actor="recovery")
    run.send("eve", "e")
    run.add("fay", "skipped", reason="the user is banned")
    run.create_user("fay")
    run.add("gil", "skipped", reason="suppressed: by hand 2027-01-15 (all lists)")
    run.say_no("gil")
    run.step("gil", "queued", "skipped", actor="enlist")
    run.add("hal", "bounced", message_id="<h>", token_id="sit_h")
    run.send("hal", "h")
    run.step("hal", "sent", "bounced", actor="bounces", message_id="<h>", token_id="sit_h")
    run.clerk.append({"event": "revoked", "id": "sit_h", "t": run.now, "wall": WALL + run.now})
    run.returned.append("<h>")
    run.listed.add("hal@example.com")
    return run
