"""Sign the mails of a campaign that has a `[dkim]` section: `signer_of`."""

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

#: The warning in the sandbox if the campaign has `[dkim]` and no key is set.
UNSIGNED = "The mail is not signed, because CAMPAIGN_DKIM_KEY is not set and [dkim] needs it"

#: At most 50 messages are signed at once, since signing blocks the event loop: about 10 ms.
_MAX_BATCH = 50
#: Additional threads would find no message left to sign.
_MAX_MORE_THREADS = 3


class Signer:
    """Signs all waiting messages in one batch, on the event loop's thread and on threads for other processors.

    An RSA signature takes 0.2 ms, more than the rest of the work for a message. Messages that are signed together
    reach the send log together and share its commits, which saves a quarter of a message's cost. The event loop's
    thread signs too: a thread that signs while the event loop is busy waits for the GIL after each signature.
    Measured over whole runs with RSA-2048, in messages per second:

    - each message signed when it comes: 1,600 on one processor; 1,800 in a thread on two processors
    - batches on the event loop's thread: 2,100 on one processor; 2,200 on two
    - batches on the event loop's thread and a second thread: 2,900 on two processors

    Args:
        key: the private key.
        section: the signing domain and the selector.
        clock: gives the time of the signature.
    """

    def __init__(self, key: SigningKey, section: DkimSection, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._field = DkimField(algorithm=key.algorithm, domain=section.domain, selector=section.selector)
        self._waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        self._others = min(_processors() - 1, _MAX_MORE_THREADS) if key.is_slow else 0
        self._threads = ThreadPoolExecutor(max(self._others, 1), "dkim")

    async def sign(self, message: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return a message with its DKIM-Signature in front; it is in pieces that end with lines, in 7-bit."""
        first, *rest = message
        draft = self._field.draft(first, int(self._clock.now()), rest=rest)
        loop = asyncio.get_running_loop()
        signature: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append((draft.data, signature))
        if len(self._waiting) == 1:
            loop.call_soon(self._sign_all, loop)
        return (signed(draft, await signature, first), *rest)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _sign_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sign up to 50 waiting messages, which blocks the event loop for about 10 ms."""
        some = [self._waiting.popleft() for _ in range(min(_MAX_BATCH, len(self._waiting)))]
        todo = deque((data, signature) for data, signature in some if not signature.done())
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
        """Sign messages from `todo` until it is empty; runs in several threads at once."""
        with suppress(IndexError):
            while True:
                data, signature = todo.popleft()
                try:
                    results.append((signature, self._key.sign(data)))
                except Exception as error:  # noqa: BLE001 - `sign` raises it to its caller
                    results.append((signature, error))


def key_of(definition: Definition, settings: Settings, *, sandbox: bool) -> SigningKey | None:
    """Return the key that signs a campaign; None if it has no `[dkim]`, or if it runs in the sandbox without a key.

    Raises:
        SettingsError: the campaign needs a key, and CAMPAIGN_DKIM_KEY is not set or names no usable key.
    """
    if definition.dkim is None or (settings.dkim_key is None and sandbox):
        return None
    if settings.dkim_key is None:
        need = "CAMPAIGN_DKIM_KEY is not set; [dkim] needs it"
        raise SettingsError(
            str(
                Problem(
                    definition.path, f"{need}. Set it to the path of the private key in PEM form, or remove [dkim]."
                )
            )
        )
    from campaign.message.dkim.key import read_key  # noqa: PLC0415 - slow to import, and only signing needs it

    return read_key(settings.dkim_key)


@contextmanager
def signer_of(definition: Definition, settings: Settings, clock: Clock, *, sandbox: bool) -> Iterator[Signer | None]:
    """Yield the signer of a campaign's mails, or None if they are not signed.

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
