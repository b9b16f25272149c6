"""List all faults that the program handles, with their tests, and the invariants with their checks: `INVARIANTS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.faults.rows import machine, mail_server, recipients, templates, token_server

if TYPE_CHECKING:
    from support.faults.rows import Row

CATALOGUE: dict[str, tuple[Row, ...]] = {
    "process and disk": machine.ROWS,
    "mail server": mail_server.ROWS,
    "Clerk": token_server.ROWS,
    "recipients": recipients.ROWS,
    "templates and message": templates.ROWS,
}

#: What must be true after every fault, and the function of the independent checker (in `tests/support/crash/`)
#: that checks it against the servers' records and the log.
INVARIANTS: dict[str, tuple[str, str]] = {
    "I1": ("every row has one state, and the counts add up to the CSV", "invariants.py::one_state_each"),
    "I2": ("nobody's mail is accepted twice", "invariants.py::nobody_twice"),
    "I3": ("`sent` means one acceptance with that Message-ID", "invariants.py::sent_is_true"),
    "I4": ("an acceptance means `sent` or `uncertain`", "invariants.py::accepted_is_recorded"),
    "I5": ("the token in a mail is the row's user's, the envelope its address", "invariants.py::right_person"),
    "I6": ("no token is in two mails", "invariants.py::no_token_shared"),
    "I7": ("the token of a mail that was accepted was not revoked by us", "invariants.py::links_live"),
    "I8": ("a live token is in a mail that may be out, or counted as an orphan", "invariants.py::no_token_astray"),
    "I9": ("the intent was durable before the dot", "order.py::intent_first"),
    "I10": ("no window holds more acceptances than the rate allows, across restarts", "order.py::within_rates"),
    "I11": ("no more connections are open than allowed", "order.py::within_connections"),
    "I12": ("no secret is anywhere but in the message", "order.py::no_secret_elsewhere"),
    "I13": ("one more run sends nothing and asks for no token", "order.py::nothing_more"),
    "I14": ("with the faults gone nobody stays queued", "order.py::nobody_left"),
    "I15": ("attempts and the gaps between them keep to the policy", "order.py::policy_kept"),
    "I16": ("a command alone leaves an end state, or `failed` if the sender was refused", "order.py::end_states_last"),
}  # fmt: skip
