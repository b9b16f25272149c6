"""Run the crash loop's workers on hosts of their own, whose links are taken down: `HostsLoop`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from support.crash.workers import WorkersLoop
from support.netns import LOG, NETWORK, SERVICES, Hosts
from support.servers.postgres import postgres
from support.servers.relay import RelayProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager, ExitStack

    from support.crash.sender import Sender
    from support.servers.postgres import Postgres

_LOCALHOST = "127.0.0.1"


@dataclass
class HostsLoop(WorkersLoop):
    """A loop with two workers, each on a host with its own copy of the campaign, and the servers on a third one.

    The log's server is reached by its address. Mail server and Clerk are at 127.0.0.1 on each host, since the program
    asks for TLS otherwise: a relay there passes on what comes to the host of the servers, and one there to the server.
    """

    hosts: Hosts = field(kw_only=True)

    def _database(self, stack: ExitStack) -> tuple[Postgres, str]:
        with self.hosts.among_servers():
            server = stack.enter_context(postgres(is_durable=True, network=NETWORK))
        return server, server.local_url(server.fresh().rpartition("/")[2])

    def _place(self) -> AbstractContextManager[None]:
        return self.hosts.among_servers()

    def _on_host(self, number: int, command: Sequence[str]) -> Sequence[str]:
        return self.hosts.command(number, command, hidden=self.folder / f"work/worker-{1 - number}")

    def _placed(
        self, stack: ExitStack, sender: Sender, number: int, server: Postgres, ports: tuple[int, int]
    ) -> Sender:
        its_own = sender.folder / "campaign"
        its_own.mkdir()
        for file in sender.campaign.parent.iterdir():
            if file.is_file():
                shutil.copy(file, its_own)
        address = self.hosts.address(number, SERVICES)
        with self._place():
            for port in ports:
                stack.enter_context(RelayProcess((address, port), (_LOCALHOST, port)))
        (self.folder / f"work/worker-{1 - number}").mkdir(exist_ok=True)
        for port in ports:
            stack.enter_context(RelayProcess((_LOCALHOST, port), (address, port), by=self._on_host(number, ())))
        database = str(sender.log).partition("?")[0].rpartition("/")[2]
        place = f"{self.hosts.address(number, LOG)}:{server.port}"
        return replace(
            sender,
            campaign=its_own / sender.campaign.name,
            log=f"{server.url(database).replace(f'{_LOCALHOST}:{server.port}', place)}?sslmode=disable",
            command=self._on_host(number, sender.command),
        )
