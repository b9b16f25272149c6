"""Read the organization that a recipient's token opens from the column of `[link] org_id`: `organization_of`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from campaign.errors import RecipientsError, RowError
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.model import Recipient

#: Clerk's ids of organizations: `org_`, then letters and digits. A slug is no id.
_ORGANIZATION_ID = re.compile(r"org_[A-Za-z0-9]{1,60}")
_MAX_SHOWN_CHARS = 60


def organization_of(recipient: Recipient, column: str) -> str | None:
    """Return the id of the organization, `org_…`; None if the recipient's cell is empty.

    Args:
        recipient: a row of the CSV, or a group of rows.
        column: the column's header, or the name of its variable.

    Raises:
        RecipientsError: the CSV has no such column.
        RowError: the value is no id, or the rows of a group name several.
    """
    wanted = _plain(column)
    value = _value(recipient.variables, wanted)
    if value is None:
        rows = next((value for value in recipient.variables.values() if isinstance(value, list)), [])
        if not rows or _value(rows[0], wanted) is None:
            columns = ", ".join(name for name, value in recipient.variables.items() if isinstance(value, str))
            raise RecipientsError(
                f'the column "{column}" is missing; [link] org_id names it. The columns are {columns}.'
            )
        raise RowError(f"The rows with this key have different values in {column}; a link opens one organization.")
    if value and not _ORGANIZATION_ID.fullmatch(value):
        raise RowError(
            f"The {column} {printable(value)[:_MAX_SHOWN_CHARS]!r} is not the id of a Clerk organization (org_…); "
            "write its id, not its name or slug."
        )
    return value or None


def _value(variables: Mapping[str, Any], wanted: str) -> str | None:
    return next((str(value) for name, value in variables.items() if _plain(name) == wanted), None)


def _plain(header: str) -> str:
    """Return a header as its variable is named, without regard to case."""
    return re.sub(r"\W+", "_", header.strip()).strip("_").lower()
