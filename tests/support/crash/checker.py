"""Check all invariants against the evidence of a run: `check`. It shares no code with the sender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.crash import answers, invariants, order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.crash.records import Records

INVARIANTS: dict[str, Callable[[Records], Iterator[str | None]]] = {
    "I1": invariants.one_state_each,
    "I2": invariants.nobody_twice,
    "I3": invariants.sent_is_true,
    "I4": invariants.accepted_is_recorded,
    "I5": invariants.right_person,
    "I6": invariants.no_token_shared,
    "I7": invariants.links_live,
    "I8": invariants.no_token_astray,
    "I9": order.intent_first,
    "I10": order.within_rates,
    "I11": order.within_connections,
    "I12": order.no_secret_elsewhere,
    "I13": order.nothing_more,
    "I14": order.nobody_left,
    "I15": order.policy_kept,
    "I16": order.end_states_last,
    "I17": order.few_in_doubt,
    "I18": answers.no_is_kept,
    "I19": answers.returned_is_bounced,
    "I20": order.users_once,
    "I21": order.within_lease,
    "SMTP": order.protocol_kept,
}


@dataclass(frozen=True)
class Judgement:
    """One invariant: the number of checked cases, and the violations."""

    name: str
    promise: str
    checked: int
    violations: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """The result for all invariants, and the main figures."""

    judgements: tuple[Judgement, ...]
    recipients: int
    states: dict[str, int]
    acceptances: int
    #: The number of uncertain rows whose mail was in truth accepted.
    uncertain_accepted: int
    orphans: int

    @property
    def violated(self) -> dict[str, tuple[str, ...]]:
        """The violations by invariant."""
        return {one.name: one.violations for one in self.judgements if one.violations}

    @property
    def holds(self) -> bool:
        """Whether every invariant holds."""
        return not self.violated

    @property
    def uncertain_share(self) -> float:
        """The share of uncertain rows whose mail was in truth accepted; 1 if there are no uncertain rows."""
        uncertain = self.states.get("uncertain", 0)
        return self.uncertain_accepted / uncertain if uncertain else 1.0

    def table(self, *, examples: int = 5) -> str:
        """Return the verdict as a table for people."""
        lines = [f"{'':5} {'checked':>8} {'violated':>8}  promise"]
        for one in self.judgements:
            lines.append(f"{one.name:5} {one.checked:8} {len(one.violations):8}  {one.promise}")
            lines += [f"{'':24}! {text}" for text in one.violations[:examples]]
            if len(one.violations) > examples:
                lines.append(f"{'':24}! and {len(one.violations) - examples} more")
        count = {one.name: len(one.violations) for one in self.judgements}
        states = ", ".join(f"{number} {state}" for state, number in self.states.items() if number)
        lines += [
            "",
            f"{self.recipients} recipients: {states}; {self.acceptances} acceptances, {self.orphans} possible orphans",
            f"duplicates {count['I2']}, accepted but unrecorded {count['I4']}, wrong persons {count['I5']}",
            f"dead links {count['I7']}, secrets outside the messages {count['I12']}",
            f"uncertain and in truth accepted: {self.uncertain_accepted} ({self.uncertain_share:.1%})",
            "every promise holds" if self.holds else f"BROKEN: {', '.join(self.violated)}",
        ]
        return "\n".join(lines)


def check(records: Records) -> Verdict:
    """Return the verdict on the evidence."""
    judgements = []
    for name, invariant in INVARIANTS.items():
        found = list(invariant(records))
        promise = (invariant.__doc__ or "").partition(": ")[2] or (invariant.__doc__ or "")
        violations = tuple(text for text in found if text is not None)
        judgements.append(Judgement(name, promise.strip().splitlines()[0], len(found), violations))
    states: dict[str, int] = dict.fromkeys(invariants.STATES, 0)
    for row in records.rows:
        states[row["state"]] = states.get(row["state"], 0) + 1
    uncertain = {row["message_id"] for row in records.rows if row["state"] == "uncertain"}
    return Verdict(
        judgements=tuple(judgements),
        recipients=len(records.people),
        states=states,
        acceptances=len(records.accepted),
        uncertain_accepted=len(uncertain & records.by_message.keys()),
        orphans=len(records.orphans),
    )
