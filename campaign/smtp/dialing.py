"""Open a TCP connection to the first address of a host that answers, happy eyeballs (RFC 8305): `dial`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import aiohappyeyeballs

#: An address as `socket.getaddrinfo` returns it: family, type, protocol, canonical name, socket address.
Address: TypeAlias = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
#: Returns the addresses of a host and port, the preferred one first.
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]

#: How long an address may be silent before the next one is tried beside it (RFC 8305 §8).
_ATTEMPT_DELAY_S = 0.25


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Return the addresses of a host, in the system's order (RFC 6724).

    Raises:
        OSError: `socket.gaierror`: the name has no address, or no resolver answers.
    """
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]


async def dial(host: str, port: int, resolve: Resolve = resolve) -> socket.socket:
    """Return a connected socket; the addresses race, IPv6 and IPv4 in turn, and the first to answer wins.

    So a host with an address that does not answer, such as one of a broken IPv6 route, costs a quarter of a second.

    Raises:
        OSError: the host has no address, or none of them takes the connection.
    """
    addresses = await resolve(host, port)
    return await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_ATTEMPT_DELAY_S, interleave=1)
