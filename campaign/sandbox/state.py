"""Open all of the sandbox's data from its folder: `State`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.sandbox.clerkjs import ClerkJs
from campaign.sandbox.database import Database
from campaign.sandbox.folder import keep_out_of_git, private_folder
from campaign.sandbox.keys import Keys
from campaign.sandbox.mailbox import Mailbox
from campaign.sandbox.sessions import Sessions
from campaign.sandbox.tokens import TokenStore
from campaign.sandbox.users import Users
from campaign.sandbox.waitlist import Waitlist

if TYPE_CHECKING:
    from pathlib import Path


class State:
    """The data in a folder: `sandbox.db` and the Maildir `mail`. Several processes may have it open at once.

    Attributes:
        folder: where the data is.
        clerk_js: Clerk's script for the browser, which is fetched into the folder.

    Raises:
        SandboxError: the folder or a file in it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        private_folder(folder)
        keep_out_of_git(folder)
        self.clerk_js = ClerkJs(folder / "clerk-js")
        self._database = Database(folder / "sandbox.db")
        try:
            self.keys = Keys(self._database)
            self.users = Users(self._database)
            self.tokens = TokenStore(self._database, self.keys)
            self.sessions = Sessions(self._database)
            self.waitlist = Waitlist(self._database)
            self.mailbox = Mailbox(folder / "mail", self._database)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database."""
        self._database.close()
