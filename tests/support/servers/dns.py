"""Run a DNS server that answers from a table, over UDP and TCP, and misbehaves on request: `DnsServer`."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from support.servers.background import Background
from support.servers.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    #: The records of each name by type, as they stand in a zone file.
    Zone = Mapping[str, Mapping[str, Sequence[str]]]

#: The answer of a name with a fault: nothing at all, or this code.
SILENCE = "silence"
#: RFC 1035 §4.2.1: bytes of a UDP message; a longer answer is truncated, and the client asks again over TCP.
_UDP_BYTES = 512


def txt(*texts: str) -> dict[str, list[str]]:
    """Return TXT records, each text cut into strings of 255 bytes (RFC 1035 §3.3.14)."""
    quoted = [text.replace("\\", r"\\").replace('"', r"\"") for text in texts]
    return {"TXT": [" ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255)) for text in quoted]}


class DnsService:
    """A DNS server in a running event loop."""

    def __init__(self, zone: Zone, faults: Mapping[str, str], record: Record) -> None:
        self._zone = {name.lower(): records for name, records in zone.items()}
        self._faults = faults
        self._record = record
        self.errors: list[BaseException] = []
        self.facts: dict[str, str] = {}

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1, on the same port for UDP and TCP, and return the port."""
        loop = asyncio.get_running_loop()
        for attempt in range(20):
            self._server = await asyncio.start_server(self._over_tcp, "127.0.0.1", port)
            found = int(self._server.sockets[0].getsockname()[1])
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=("127.0.0.1", found)
                )
            except OSError:  # another process has the UDP port
                self._server.close()
                if port or attempt == 19:
                    raise
            else:
                return found
        raise AssertionError

    async def stop(self) -> None:
        """Close both sockets, then return."""
        self._udp.close()
        self._server.close()
        await self._server.wait_closed()

    def answer(self, wire: bytes, *, limit: int) -> bytes | None:
        """Return the answer to a query; None for silence."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self._record.write("query", name=name, type=kind, limit=limit)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        fault = self._faults.get(name)
        if fault == SILENCE:
            return None
        if fault is not None:
            response.set_rcode(dns.rcode.from_text(fault))
        elif records := self._zone.get(name, {}).get(kind):
            response.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, records))
        elif not any(known == name or known.endswith(f".{name}") for known in self._zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire(max_size=limit)

    async def _over_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            answer = self.answer(await reader.readexactly(length), limit=65535)
            if answer is not None:
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    """Answers queries over UDP."""

    def __init__(self, service: DnsService) -> None:
        self._service = service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one query."""
        try:
            answer = self._service.answer(data, limit=_UDP_BYTES)
        except Exception as error:  # noqa: BLE001 - handed to the end of the block
            self._service.errors.append(error)
            return
        if answer is not None:
            self._transport.sendto(answer, addr)


class DnsServer(Background):
    """A DNS server in a thread: `with DnsServer(zone) as server: server.address`."""

    def __init__(self, zone: Zone, faults: Mapping[str, str] | None = None) -> None:
        log = Record(None, server="dns")
        super().__init__(DnsService(zone, faults or {}, log), log)

    @property
    def address(self) -> str:
        """The value for `--resolver`."""
        return f"127.0.0.1:{self.port}"

    def asked(self, kind: str) -> list[str]:
        """Return the names that were asked for with this type, in order."""
        return [event["name"] for event in self.events("query") if event["type"] == kind]
