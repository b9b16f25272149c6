"""Make hosts out of network namespaces of Linux, one for servers and others for workers: `hosts`.

Each worker has two links to the servers, one for the log and one for everything else. A link that is down loses what is
sent, and tells neither side, as a cable that is pulled out of a switch between the two.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from support.mta.programs import needed, needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The links of a worker, and the second number of their addresses (RFC 2544, for tests of networks).
LOG, SERVICES = "log", "services"
_LINKS = {LOG: 18, SERVICES: 19}
#: All addresses of the links.
NETWORK = "198.18.0.0/15"
#: The flag of setns(2) for a network.
_CLONE_NEWNET = 0x40000000
#: Gives a process a host's name, hides a folder from it that is another host's, and then becomes the command.
_ELSEWHERE = 'hostname "$0" && mount -t tmpfs none "$1" && shift && exec "$@"'
_number = count(1)


@dataclass(frozen=True)
class Hosts:
    """The host of the servers, and those of the workers, by their numbers from 0."""

    #: The namespace of the servers.
    servers: str
    workers: tuple[str, ...]

    def address(self, number: int, link: str) -> str:
        """Return the address of the servers that a worker reaches over a link."""
        return f"198.{_LINKS[link]}.{number}.1"

    def command(self, number: int, command: Sequence[str], *, hidden: Path) -> list[str]:
        """Return the command that runs another one on a worker's host, where a folder is empty."""
        on_host = [_program(), "netns", "exec", self.workers[number], "unshare", "--uts", "sh", "-c", _ELSEWHERE]
        return [*on_host, f"host-{number}", str(hidden), *command]

    def cut(self, number: int, *links: str) -> None:
        """Take links of a worker down, on the side of the servers."""
        for link in links:
            _ip("-n", self.servers, "link", "set", f"{link}{number}", "down")

    def join(self, number: int, *links: str) -> None:
        """Take links up again."""
        for link in links:
            _ip("-n", self.servers, "link", "set", f"{link}{number}", "up")

    @contextmanager
    def among_servers(self) -> Iterator[None]:
        """Let this thread, and the processes and threads that it starts in the block, be on the host of the servers."""
        here, theirs = Path("/proc/thread-self/ns/net"), Path(f"/run/netns/{self.servers}")
        with here.open("rb") as home, theirs.open("rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


@contextmanager
def hosts(workers: int) -> Iterator[Hosts]:
    """Yield a host for servers and some for workers, which reach nothing but the servers.

    The test is skipped where there are no namespaces, which never happens in CI.
    """
    _program()
    needs_root("it makes network namespaces")
    name = f"campaign-{os.getpid()}-{next(_number)}"
    made = Hosts(f"{name}-servers", tuple(f"{name}-{number}" for number in range(workers)))
    spaces: list[str] = []
    try:
        for space in (made.servers, *made.workers):
            _ip("netns", "add", space)
            spaces.append(space)
            _ip("-n", space, "link", "set", "lo", "up")
        for number, space in enumerate(made.workers):
            for link, second in _LINKS.items():
                theirs = f"{link}{number}"
                _ip("link", "add", theirs, "netns", made.servers, "type", "veth", "peer", "name", link, "netns", space)
                for at, device, last in ((made.servers, theirs, 1), (space, link, 2)):
                    _ip("-n", at, "address", "add", f"198.{second}.{number}.{last}/24", "dev", device)
                    _ip("-n", at, "link", "set", device, "up")
        yield made
    finally:
        for space in spaces:
            _ip("netns", "delete", space)


def _program() -> str:
    return needed("ip", "iproute2")


def _ip(*arguments: str) -> None:
    done = subprocess.run([_program(), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "this thread cannot enter the network namespace")
