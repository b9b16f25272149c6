"""Set up a campaign with its own servers: a Clerk, a mail server and a workspace: `environment`."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from support.crash.checker import check
from support.crash.leaks import files_under, scan
from support.crash.records import Records, Terms, read_log, read_people
from support.fork_server import ForkingWorkspace
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import ClerkScript
from support.servers.smtp import SmtpServer
from support.workspace import SECRET_KEY

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.crash.checker import Verdict
    from support.servers.record import Event
    from support.servers.smtp_script import SmtpScript


@dataclass(frozen=True)
class Environment:
    """The workspace and the servers of one test."""

    work: ForkingWorkspace
    clerk: ClerkServer
    smtp: SmtpServer

    @property
    def accepted(self) -> list[Event]:
        """The acceptances of the mail server, in order."""
        return self.smtp.events("accept")

    @property
    def mailed(self) -> list[str]:
        """The addresses that got mail, sorted; an address that got two mails is in it twice."""
        return sorted(event["rcpt"][0] for event in self.accepted)

    @property
    def tokens(self) -> list[Event]:
        """The tokens that Clerk issued, in order."""
        return self.clerk.events("token")

    @property
    def revoked(self) -> set[str]:
        """The ids of the tokens that were revoked at Clerk."""
        return {event["id"] for event in self.clerk.events("revoked")}

    def verdict(self, **terms: Any) -> Verdict:  # noqa: ANN401 - the fields of Terms
        """Return the independent checker's verdict on all promises, from the servers' records and the log."""
        file = read_log(self.work.environment["CAMPAIGN_LOG"], "trial")
        records = Records(
            people=read_people(self.work.folder / "people.csv"),
            rows=self.work.rows(),
            status=self.work.status(),
            transitions=file.transitions,
            orphans=file.orphans,
            unsettled=file.unsettled,
            creations=file.creations,
            smtp=self.smtp.events(),
            clerk=self.clerk.events(),
            terms=Terms(**terms),
        )
        places = files_under(self.work.folder)
        leaks = scan(places, tokens=records.tokens, secrets={"the secret key": SECRET_KEY})
        return check(replace(records, leaks=leaks, scanned=len(places)))

    @property
    def silent(self) -> bool:
        """Whether neither server got a request."""
        return not self.smtp.events() and not self.clerk.events()


@contextmanager
def environment(
    folder: Path,
    people: Any = 3,  # noqa: ANN401 - whatever Workspace.write takes
    *,
    clerk: ClerkScript | None = None,
    smtp: SmtpScript | None = None,
    **campaign: Any,  # noqa: ANN401 - the same
) -> Iterator[Environment]:
    """Yield a campaign in `folder` with its servers; the users of Clerk are the people of its CSV."""
    work = ForkingWorkspace(folder)
    work.write(people, **campaign)
    script = clerk or ClerkScript()
    users = replace(script.users, csv=script.users.csv or str(folder / "people.csv"))
    with ClerkServer(replace(script, users=users, key=SECRET_KEY)) as token_server, SmtpServer(smtp) as mail_server:
        work.serve_by(clerk=token_server.url, smtp=mail_server.url)
        try:
            yield Environment(work, token_server, mail_server)
        finally:
            work.end()


def wait_for(
    seen: Callable[[], object], process: subprocess.Popen[str], *, every: float = 0.01, timeout: float = 60
) -> None:
    """Wait until `seen` is true while a process runs; it is a failure if the process ends before."""
    deadline = time.monotonic() + timeout
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never came"
        time.sleep(every)  # noqa: TID251 - servers and processes live in the real time
