"""Open all of the sandbox's data from its folder: `State`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from campaign.sandbox.clerkjs import ClerkJs
from campaign.sandbox.database import Database
from campaign.sandbox.folder import keep_out_of_git, private_folder
from campaign.sandbox.keys import Keys
from campaign.sandbox.mailbox import Mailbox
from campaign.sandbox.sessions import Sessions
from campaign.sandbox.shared_clock import SharedClock, announced
from campaign.sandbox.tokens import TokenStore
from campaign.sandbox.users import Users
from campaign.sandbox.waitlist import Waitlist

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.sandbox.shared_clock import SandboxClock


class State:
    """The data in a folder: `sandbox.db` and the Maildir `mail`. Several processes may have it open at once.

    Attributes:
        folder: where the data is.
        clerk_js: Clerk's script for the browser, which is fetched into the folder.

    Raises:
        SandboxError: the folder or a file in it cannot be used.
    """

    def __init__(self, folder: Path, *, clock: SandboxClock | None = None, begins_at: float = 0.0) -> None:
        """Open the data.

        Args:
            folder: where the data is.
            clock: the time of the run that uses it; None: follow that of a run in another process, if there is one.
            begins_at: without `clock`: the earliest instant, in seconds since the epoch.
        """
        self.folder = folder
        self._clock = clock
        private_folder(folder)
        keep_out_of_git(folder)
        self.clerk_js = ClerkJs(folder / "clerk-js")
        self._database = Database(folder / "sandbox.db")
        try:
            if clock is None:
                self._database.clock = SharedClock(self._database, folder, begins_at=begins_at).now
            else:
                self._database.clock = clock.now
            self.keys = Keys(self._database)
            self.users = Users(self._database)
            self.tokens = TokenStore(self._database, self.keys)
            self.sessions = Sessions(self._database)
            self.waitlist = Waitlist(self._database)
            self.mailbox = Mailbox(folder / "mail", self._database)
        except BaseException:
            self.close()
            raise

    def now(self) -> int:
        """Return the sandbox's time in milliseconds since the epoch."""
        return self._database.now()

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Let the other processes that use the folder follow this one's clock during the block."""
        if self._clock is None:
            yield
            return
        with announced(self._database, self.folder, self._clock):
            yield

    def close(self) -> None:
        """Close the database."""
        self._database.close()
