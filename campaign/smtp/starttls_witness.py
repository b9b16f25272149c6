"""Record what a server sends before TLS, so that injected data is noticed: `StarttlsWitness`."""

from __future__ import annotations

import asyncio
import re


class StarttlsWitness(asyncio.Protocol):
    """Passes all events to aiosmtplib's protocol and records the data that comes before TLS.

    RFC 3207 §6: an attacker can inject data in clear text after the reply to STARTTLS. aiosmtplib drops such data;
    `Connector` refuses the whole session.
    """

    def __init__(self, inner: asyncio.Protocol) -> None:
        self._inner = inner
        self._seen = bytearray()

    @property
    def spoke_behind_the_reply(self) -> bool:
        """Whether the data before TLS is anything but exactly one reply."""
        return re.fullmatch(rb"(?:220-[^\n]*\n)*220(?: [^\n]*)?\n", bytes(self._seen)) is None

    def data_received(self, data: bytes) -> None:
        """Record the data and pass it on."""
        self._seen += data[:4096]
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of the stream on."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the loss on."""
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()
