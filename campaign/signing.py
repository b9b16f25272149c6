"""Who signs the mails of a campaign: the program, where the campaign file asks for it, or nobody."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from campaign.errors import Problem, SettingsError
from campaign.message.dkim import DkimField, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.clock import Clock
    from campaign.definition import Definition, DkimSection
    from campaign.dkimkey import SigningKey
    from campaign.settings import Settings

#: What is told where a campaign is to be signed and the sandbox has no key.
UNSIGNED = "The mail is not signed: [dkim] needs CAMPAIGN_DKIM_KEY, which is not set"


class Signer:
    """Signs one message after the other.

    An RSA signature takes 0.2 ms, as long as all the rest of a message, and the interpreter is free meanwhile: with a
    second processor a thread makes it (measured: 1.7 times as many messages a second). With one processor the thread
    would only cost its switches (8 % fewer), and Ed25519 is too quick to be handed over: these are signed in place.

    Args:
        key: signs.
        section: for whom.
        clock: the time.
    """

    def __init__(self, key: SigningKey, section: DkimSection, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._field = DkimField(algorithm=key.algorithm, domain=section.domain, selector=section.selector)
        self._thread = ThreadPoolExecutor(1, "dkim") if key.is_slow and _processors() > 1 else None

    async def sign(self, message: bytes) -> bytes:
        """Return a message of 7-bit lines that end with CRLF, with its signature in front."""
        draft = self._field.draft(message, int(self._clock.now()))
        if self._thread is None:
            signature = self._key.sign(draft.octets)
        else:
            loop = asyncio.get_running_loop()
            signature = await loop.run_in_executor(self._thread, self._key.sign, draft.octets)
        return signed(draft, signature, message)

    def close(self) -> None:
        """Sign nothing more."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)


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
    from campaign.dkimkey import read_key  # noqa: PLC0415 - a campaign that signs nothing starts sooner without

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
