"""What the operator's commands need of a send log, `OperatorLog`; `interfaces.py` has the other interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from campaign.model import Status


class OperatorLog(Protocol):
    """The operator's changes to rows that a run must not change; `email` restricts a change to one recipient."""

    def is_empty(self) -> bool:
        """Return whether the log has no row, in any campaign."""
        ...

    def retry(self, *, state: Status, email: str | None = None) -> int:
        """Put failed or skipped rows back to `queued`; return the number of rows."""
        ...

    def skip_key(self, key: str, *, reason: str) -> int:
        """Set the rows of all steps with this key to `skipped`, also beside a run.

        Return the number of rows: 0 if all of them were or may have been sent.
        """
        ...

    def state_of(self, key: str) -> Status | None:
        """Return the state of the row with this key, or None."""
        ...

    def skip_missing(self, keys: Iterable[str], *, reason: str) -> int:
        """Set the queued rows with none of these keys to `skipped`, also beside a run; return the number of rows."""
        ...

    def keep_uncertain(self, *, email: str | None = None) -> int:
        """Set uncertain rows to `sent`; return the number of rows."""
        ...

    def revoke_uncertain(self, *, email: str | None = None) -> int:
        """Request the revocation of the tokens of uncertain rows; return the number of tokens."""
        ...

    def resend_uncertain(self, *, email: str | None = None) -> tuple[int, int]:
        """Put uncertain rows whose tokens cannot be used any more back to `queued`; return (queued, set to sent)."""
        ...

    def count_live_links(self) -> int:
        """Return how many tokens of the campaign may still be used to sign in."""
        ...

    def states_of(self, email: str) -> dict[Status, int]:
        """Return the states of the rows with this address, each with its number."""
        ...

    def count_resendable(self, *, email: str | None) -> int:
        """Return how many sent messages have this address or, with None, a token that was revoked."""
        ...

    def revoke_resendable(self, *, email: str) -> int:
        """Request the revocation of the tokens of the messages sent to this address; return the number of tokens."""
        ...

    def resend(self, *, email: str | None) -> int:
        """Put the rows of `count_resendable` whose token cannot be used any more back to `queued`; return how many."""
        ...

    def revoke_everything(self) -> int:
        """Request the revocation of every token whose id is in the campaign's log; return the number of tokens."""
        ...
