"""Who signs the mails of a campaign: the program, where the campaign file asks for it, or nobody."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from campaign.errors import Problem, SettingsError
from campaign.message.dkim.signature import DkimField, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.clock import Clock
    from campaign.config.definition import Definition, DkimSection
    from campaign.config.settings import Settings
    from campaign.message.dkim.key import SigningKey

#: What is told where a campaign is to be signed and the sandbox has no key.
UNSIGNED = "The mail is not signed: [dkim] needs CAMPAIGN_DKIM_KEY, which is not set"

#: So many are signed before the event loop has something else to do: some 10 ms.
_MAX_BATCH = 50
#: More threads than these would find nothing left to sign.
_MAX_MORE_THREADS = 3


class Signer:
    """Signs messages, all that wait for it at once.

    An RSA signature takes 0.2 ms, more than all the rest of a message. Messages that are signed together reach the
    send log together and share its commits, which saves a quarter of a message's cost. The event loop itself lends a
    hand, and each further processor another: while all of them are at it nobody waits for the interpreter's lock, as
    a thread that signs on its own would, after each signature, for a busy loop. Whole runs with RSA-2048, messages a
    second: each signed as it comes 1,600 on one processor, in a thread 1,800 on two; together 2,100 on one, 2,200 on
    two, and with a hand from the second 2,900.

    Args:
        key: signs.
        section: for whom.
        clock: the time.
    """

    def __init__(self, key: SigningKey, section: DkimSection, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._field = DkimField(algorithm=key.algorithm, domain=section.domain, selector=section.selector)
        self._waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        self._others = min(_processors() - 1, _MAX_MORE_THREADS) if key.is_slow else 0
        self._threads = ThreadPoolExecutor(max(self._others, 1), "dkim")

    async def sign(self, message: bytes) -> bytes:
        """Return a message of 7-bit lines that end with CRLF, with its signature in front."""
        draft = self._field.draft(message, int(self._clock.now()))
        loop = asyncio.get_running_loop()
        signature: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append((draft.octets, signature))
        if len(self._waiting) == 1:
            loop.call_soon(self._sign_all, loop)
        return signed(draft, await signature, message)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _sign_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sign what waits, for some milliseconds at the most."""
        some = [self._waiting.popleft() for _ in range(min(_MAX_BATCH, len(self._waiting)))]
        todo = deque((octets, signature) for octets, signature in some if not signature.done())
        results: list[tuple[asyncio.Future[bytes], bytes | Exception]] = []
        others = [self._threads.submit(self._work, todo, results) for _ in range(min(self._others, len(todo) - 1))]
        self._work(todo, results)
        wait(others)
        for signature, result in results:
            if isinstance(result, bytes):
                signature.set_result(result)
            else:
                signature.set_exception(result)
        if self._waiting:
            loop.call_soon(self._sign_all, loop)

    def _work(
        self,
        todo: deque[tuple[bytes, asyncio.Future[bytes]]],
        results: list[tuple[asyncio.Future[bytes], bytes | Exception]],
    ) -> None:
        """Take from `todo` until nothing is left; runs in several threads at once."""
        with suppress(IndexError):
            while True:
                octets, signature = todo.popleft()
                try:
                    results.append((signature, self._key.sign(octets)))
                except Exception as error:  # noqa: BLE001 - whoever waits for it has to know
                    results.append((signature, error))


def key_of(definition: Definition, settings: Settings, *, sandbox: bool) -> SigningKey | None:
    """Return the key that signs a campaign; None where it asks for none, or where the sandbox has none.

    Raises:
        SettingsError: there should be one, and there is none that can be used.
    """
    if definition.dkim is None or (settings.dkim_key is None and sandbox):
        return None
    if settings.dkim_key is None:
        need = "[dkim] needs CAMPAIGN_DKIM_KEY, the path of the private key in PEM form, which is not set"
        raise SettingsError(str(Problem(definition.path, f"{need}; set it, or leave [dkim] out.")))
    from campaign.message.dkim.key import read_key  # noqa: PLC0415 - a campaign that signs nothing starts sooner without

    return read_key(settings.dkim_key)


@contextmanager
def signer_of(definition: Definition, settings: Settings, clock: Clock, *, sandbox: bool) -> Iterator[Signer | None]:
    """Yield what signs a campaign's mails, or None where nothing does.

    Raises:
        SettingsError: see `key_of`.
    """
    key = key_of(definition, settings, sandbox=sandbox)
    if key is None or definition.dkim is None:
        yield None
        return
    signer = Signer(key, definition.dkim, clock)
    try:
        yield signer
    finally:
        signer.close()


def _processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
