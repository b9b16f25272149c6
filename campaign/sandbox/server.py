"""Run the sandbox: its HTTP and SMTP servers on loopback, in their own thread: `Sandbox`."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from campaign.sandbox.app import application
from campaign.sandbox.httpd import BACKLOG, HOST, HttpServer, listen
from campaign.sandbox.smtpd import MailServer
from campaign.sandbox.state import State
from campaign.sandbox.waitlist import ALREADY_A_USER

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from starlette.routing import BaseRoute

    from campaign.sandbox.shared_clock import SandboxClock


def no_pages(_: State) -> Sequence[BaseRoute]:
    """Return no routes: a sandbox without web pages."""
    return ()


class Sandbox:
    """A Clerk-compatible server and a mail server, for trials; no mail leaves them.

    `async with Sandbox(folder) as sandbox:` serves until the block ends. The servers run in their own thread and
    event loop, so that neither side blocks the other. All attributes are set inside the block.

    Attributes:
        state: the sandbox's data.
        clerk_url: `http://127.0.0.1:PORT`.
        smtp_url: `smtp://127.0.0.1:PORT?tls=none`.
    """

    state: State
    clerk_url: str
    smtp_url: str

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        smtp_port: int = 0,
        clerk_limits: bool = False,
        pages: Callable[[State], Sequence[BaseRoute]] = no_pages,
        clock: SandboxClock | None = None,
        begins_at: float = 0.0,
    ) -> None:
        """Set the parameters; entering the block starts the servers.

        Args:
            folder: where the state is stored; created if it does not exist.
            port: for HTTP; 0 chooses a free port.
            smtp_port: for SMTP; 0 chooses a free port.
            clerk_limits: whether to apply the rate limits that Clerk documents.
            pages: returns more HTTP routes, such as the inbox.
            clock: the time of the run that uses it; None: that of a run that goes on beside, else the machine's.
            begins_at: without `clock`: the earliest instant, in seconds since the epoch.
        """
        self._folder = folder
        self._ports = (port, smtp_port)
        self._clerk_limits = clerk_limits
        self._pages = pages
        self._clock, self._begins_at = clock, begins_at
        self._closing = ExitStack()

    @property
    def secret_key(self) -> str:
        """The key of the Backend API, `sk_test_…`."""
        return self.state.keys.secret

    @property
    def publishable_key(self) -> str:
        """The key of the Frontend API, `pk_test_…`."""
        return self.state.keys.publishable

    @property
    def maildir(self) -> Path:
        """The folder of the mail."""
        return self.state.mailbox.folder

    def learn(self, people: Iterable[tuple[str | None, str]]) -> None:
        """Add these people, (user id, address) each, as Clerk users, subject to the fates of their addresses.

        They are read one at a time, so there may be a million. If an id is None, a user is created for the
        address, unless it already has one.
        """
        self.state.users.learn(people)

    def fill_waitlist(self) -> None:
        """Put some imaginary people on an empty waitlist, so that a campaign can be tried with it."""
        if self.state.waitlist.fill():
            self.state.users.learn([(None, ALREADY_A_USER)])

    async def __aenter__(self) -> Self:
        """Start to serve.

        Raises:
            SandboxError: the folder or a file in it cannot be used.
            OSError: a port is not available; `errno` is EADDRINUSE if another program uses it, and `filename`
                names it.
        """
        with ExitStack() as opened:
            self.state = State(self._folder, clock=self._clock, begins_at=self._begins_at)
            opened.callback(self.state.close)
            http, smtp = (opened.enter_context(listen(port)) for port in self._ports)
            self.clerk_url = f"http://{HOST}:{http.getsockname()[1]}"
            self.smtp_url = f"smtp://{HOST}:{smtp.getsockname()[1]}?tls=none"
            started: Future[None] = Future()
            app = application(self.state, clerk_limits=self._clerk_limits, more=self._pages(self.state))
            self._server = HttpServer(app, started)
            self._thread = threading.Thread(
                target=self._run, args=(http, smtp, started), name="campaign-sandbox", daemon=True
            )
            self._thread.start()
            opened.callback(self._stop)
            await asyncio.wrap_future(started)
            self._closing = opened.pop_all()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving; all accepted mail is on disk."""
        await asyncio.to_thread(self._closing.close)

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def _run(self, http: socket.socket, smtp: socket.socket, started: Future[None]) -> None:
        try:
            asyncio.run(self._serve(http, smtp))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, http: socket.socket, smtp: socket.socket) -> None:
        mail = MailServer(self.state.mailbox)
        server = await asyncio.get_running_loop().create_server(mail.session, sock=smtp, backlog=BACKLOG)
        async with server:
            await self._server.serve(sockets=[http])
            server.close()
            await mail.close()
