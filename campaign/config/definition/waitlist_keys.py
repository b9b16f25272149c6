"""The keys of `[recipients]` for Clerk's waitlist, `WaitlistKeys`: its entries are the recipients."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator, model_validator

from campaign.config.definition.section import Section

#: The columns of a waitlist entry: Clerk's address and id, and when it was added (ISO 8601).
WAITLIST_COLUMNS = ("email", "waitlist_id", "joined_at")
#: Stands for the CSV until a run has written down the entries.
WAITLIST = Path("Clerk's waitlist")
_ONLY_WITH = 'is for Clerk\'s waitlist; add clerk = "waitlist" instead of file, or leave it out'


class WaitlistKeys(Section):
    """The keys of `[recipients]` for Clerk's waitlist. The section itself has `file`, `key`, `group` and `lookup`."""

    #: The recipients are the entries of Clerk's waitlist; None: the rows of a CSV.
    clerk: Literal["waitlist"] | None = None
    #: Which entries: those with this status.
    status: Literal["pending", "invited"] = "pending"
    #: Whether a Clerk user is made for each entry that has none, before its token is asked for.
    create_users: bool = False

    @model_validator(mode="before")
    @classmethod
    def _waitlist_defaults(cls, data: Any) -> Any:  # noqa: ANN401 - any value from the file
        if not isinstance(data, dict) or data.get("clerk") != "waitlist":
            return data
        return {"file": WAITLIST, "lookup": "email", "key": "email"} | data

    @field_validator("status", "create_users")
    @classmethod
    def _is_about_a_waitlist(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - either key's
        if value is not False and info.data.get("clerk") is None:
            raise ValueError(_ONLY_WITH)
        return value

    @field_validator("file", check_fields=False)
    @classmethod
    def _is_the_only_source(cls, file: Path, info: ValidationInfo) -> Path:
        if info.data.get("clerk") is not None and file != WAITLIST:
            raise ValueError('a campaign has one source, and this one has clerk = "waitlist"; leave one of the two out')
        return file

    @field_validator("key", check_fields=False)
    @classmethod
    def _is_of_an_entry(cls, key: str, info: ValidationInfo) -> str:
        if info.data.get("clerk") is not None and key not in WAITLIST_COLUMNS[:2]:
            raise ValueError('must be "email" or "waitlist_id", the columns that identify an entry of a waitlist')
        return key

    @field_validator("group", check_fields=False)
    @classmethod
    def _is_of_a_csv(cls, group: str | None, info: ValidationInfo) -> str | None:
        if group is not None and info.data.get("clerk") is not None:
            raise ValueError("is for a CSV; each entry of Clerk's waitlist is one recipient, so leave it out")
        return group
