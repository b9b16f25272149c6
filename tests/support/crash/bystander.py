"""What happens beside the runs: people say no, and mails come back. `Bystander` tells the program, and notes it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from support.crash.records import Suppressed
from support.reports import MEANS, mail_named

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from support.crash.records import Event
    from support.crash.sender import Sender

#: What an unknown mailbox is reported with.
_REPORT = "postfix-unknown-user"
#: At most this many people say no, or mails come back, at one time.
_AT_ONCE = 3
#: In so many of ten times `campaign bounces` is killed.
_KILLED_OF_TEN = 5


class Bystander:
    """Changes the send log from other processes.

    Args:
        sender: starts the program.
        record: what the mail server accepts.
        dice: choose whom.
    """

    def __init__(self, sender: Sender, record: Path, dice: random.Random) -> None:
        self._sender = sender
        self._record = record
        self._dice = dice
        lines = (sender.folder / "people.csv").read_text("utf-8").splitlines()[1:]
        self._addresses = [line.split(",")[1] for line in lines]
        dice.shuffle(self._addresses)
        self._box = sender.folder / "returned"
        for name in ("new", "cur", "tmp"):
            (self._box / name).mkdir(parents=True)
        #: The addresses whose suppression the program has confirmed, each with when.
        self.suppressed: list[Suppressed] = []
        #: The Message-IDs of the mails that came back.
        self.returned: list[str] = []

    def say_no(self) -> None:
        """Suppress some addresses, whether they were mailed or not."""
        chosen = [self._addresses.pop() for _ in range(_AT_ONCE)]
        file = self._sender.folder / "no.txt"
        file.write_text("".join(f"{address}\n" for address in chosen), "utf-8")
        self._sender.ask("suppress", "import", str(file))
        now = time.time()
        self.suppressed += [Suppressed(address.lower(), now) for address in chosen]

    def return_mails(self) -> None:
        """Return some mails that were accepted, and let the program read that, unless it is killed meanwhile."""
        events = [event for event in self._accepted() if event["message_id"] not in self.returned]
        for event in self._dice.sample(events, min(_AT_ONCE, len(events))):
            tag = event["sender"].partition("+")[2].partition("@")[0]
            report = mail_named(_REPORT, tag).replace(MEANS[_REPORT].recipient.encode(), event["rcpt"][0].encode())
            (self._box / "new" / f"{len(self.returned)}.host").write_bytes(report)
            self.returned.append(event["message_id"])
        self.read_returned(kill_after=self._dice.uniform(0, 1) if self._dice.random() * 10 < _KILLED_OF_TEN else None)

    def read_returned(self, *, kill_after: float | None = None) -> str:
        """Let the program read all mails that came back; return what it says."""
        return self._sender.beside("bounces", str(self._sender.campaign), str(self._box), kill_after=kill_after)

    def listed(self) -> frozenset[str]:
        """Return the suppressed addresses."""
        lines = self._sender.ask("suppress", "list", "--format", "jsonl").splitlines()
        return frozenset(json.loads(line)["email"] for line in lines)

    def _accepted(self) -> list[Event]:
        # the last line may be half written
        whole = self._record.read_bytes().rpartition(b"\n")[0] if self._record.exists() else b""
        events = [json.loads(line) for line in whole.splitlines()]
        return [event for event in events if event["event"] == "accept"]
