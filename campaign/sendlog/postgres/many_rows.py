"""Turn a statement for one row into one for many rows, which takes a tenth of the time: `for_many`, `ForMany`.

The server parses, plans and answers a statement once, and its parameters are arrays. What it does to each row stands
in one place, the `.sql` file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from campaign.sendlog.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: The steps of deliveries: a run writes them for rows that it has claimed.
_STEPS = ("issuing", "issued", "sending", "settle")
#: The statements that a run or an enlistment executes for many rows: no row occurs twice among those of one call.
_NAMES = (*_STEPS, "revoke_token", "put_off", "take_row", "touch_delivery", "add_present")
#: An array says nothing of the type of its elements, so it is said here, by the parameter's name.
_TYPES = {
    "campaign": "integer",
    "id": "bigint",
    "key": "text",
    "now": "double precision",
    "state": "text",
    "reason": "text",
    "attempt": "integer",
    "faults": "integer",
    "user_id": "text",
    "token_id": "text",
    "expires_at": "double precision",
    "message_id": "text",
    "server": "text",
    "code": "integer",
    "enhanced": "text",
    "reply": "text",
    "not_before": "double precision",
    "waiting": "text",
    "due_at": "double precision",
    "number": "integer",
    "rank": "double precision",
    "enlistment": "integer",
    "source": "text",
    "line": "integer",
    "step": "text",
    "step_number": "integer",
    "position": "double precision",
    "fence": "integer",
}
_PARAMETER = re.compile(r"%\((\w+)\)s")
#: The one line of such a statement before which the rows are named.
_AFTER_FROM = re.compile(r"^(?=WHERE |ON CONFLICT )", re.MULTILINE)


class ForMany(NamedTuple):
    """A statement that does to many rows what another one does to one."""

    text: str
    #: The names of its parameters, each an array.
    names: tuple[str, ...]

    def arrays(self, rows: Sequence[Mapping[str, object]]) -> dict[str, str]:
        """Return its parameters, given those of the other one for each row."""
        return {name: array([row[name] for row in rows]) for name in self.names}


def array(values: Iterable[object]) -> str:
    """Return numbers or strings as an array's text (PostgreSQL's documentation, 8.15.6); None is NULL."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "NULL" if value is None else repr(value)


def for_many(statement: str) -> ForMany:
    """Return the statement for many rows.

    Args:
        statement: an UPDATE or an INSERT from SELECT of one row, as psycopg reads it; one line begins with WHERE or
            with ON CONFLICT.

    Raises:
        KeyError: the type of a parameter is not known.
        ValueError: no line begins so, or several do.
    """
    if len(_AFTER_FROM.findall(statement)) != 1:
        raise ValueError(f"not a statement for one row: {statement}")
    names = tuple(dict.fromkeys(_PARAMETER.findall(statement)))
    first, *others = (f"%({name})s::{_TYPES[name]}[]" for name in names)
    # The planner cannot see the length of an array that is selected. If it could, it would plan each call anew.
    arrays = ", ".join([f"(SELECT {first})", *others])
    given = f"FROM unnest({arrays}) AS given ({', '.join(f'new_{name}' for name in names)})\n"
    return ForMany(_AFTER_FROM.sub(given, _PARAMETER.sub(r"given.new_\1", statement)), names)


def for_claimed(statement: str) -> ForMany:
    """Return a step's statement for those of many rows that a worker still has.

    It has two parameters more: `worker`, and the array `fence`.
    """
    # The worker is compared as an expression, or the planner may read the index of all rows in hand.
    many = for_many(statement.replace(";", " AND fence = %(fence)s AND coalesce(worker_id, 0) = :worker;"))
    return many._replace(text=many.text.replace(":worker", "%(worker)s::bigint"))


#: The statements for many rows, by the text of those for one.
FOR_MANY = {getattr(SQL, name): for_many(getattr(SQL, name)) for name in _NAMES}
#: The same of the steps for rows that a worker has claimed.
FOR_CLAIMED = {getattr(SQL, name): for_claimed(getattr(SQL, name)) for name in _STEPS}
