"""Get the OAuth access token for the login from a command of the operator: `AccessToken`."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from typing import TYPE_CHECKING

from campaign.errors import CampaignError, Scope, ServiceRefusesError, TransientError

if TYPE_CHECKING:
    from asyncio.subprocess import Process

#: How long the command may take, in seconds.
_COMMAND_TIMEOUT_S = 60.0
#: The longest token (bytes); RFC 4954 §4 allows 12288 for a whole line of AUTH, in Base64.
_MAX_TOKEN_BYTES = 8192
#: RFC 6750 §2.1: the characters of a bearer token.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class AccessToken:
    """The access token that a command prints, kept until the server refuses it.

    The command is run without a shell, and its output is never shown.

    Args:
        command: the command line, quoted as for a shell.
        timeout_s: how long it may take.
    """

    def __init__(self, command: str, timeout_s: float = _COMMAND_TIMEOUT_S) -> None:
        self._command = shlex.split(command)
        self._timeout_s = timeout_s
        self._token: str | None = None
        self._running = asyncio.Lock()

    async def get(self, *, instead_of: str | None = None) -> str:
        """Return the token; the command runs if there is none yet, or only the one that the server refused.

        Args:
            instead_of: the refused token. The same one is returned if the command prints it again.

        Raises:
            ServiceRefusesError: the command fails, and never printed a token.
            TransientError: the command fails now.
        """
        async with self._running:
            if self._token is None or self._token == instead_of:
                self._token = await self._run()
            return self._token

    async def _run(self) -> str:
        try:
            async with asyncio.timeout(self._timeout_s):
                process = await asyncio.create_subprocess_exec(
                    *self._command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, start_new_session=True
                )
                try:
                    output = await _output(process)
                    code = None if output is None else await process.wait()
                finally:
                    if process.returncode is None:
                        await _kill(process)
        except TimeoutError:
            raise self._failed(f"did not end within {self._timeout_s:g} s") from None
        except OSError as error:
            raise self._failed(f"cannot be run: {error.strerror}") from None
        if code:
            raise self._failed(f"ended with exit code {code}")
        if output is None or _TOKEN.fullmatch(output) is None:
            raise self._failed("did not print one access token and nothing else")
        return output

    def _failed(self, how: str) -> CampaignError:
        reason = f"the command in CAMPAIGN_SMTP_TOKEN_COMMAND {how}; run it in a shell to see why"
        return ServiceRefusesError(reason) if self._token is None else TransientError(reason, scope=Scope.SERVER)


async def _kill(process: Process) -> None:
    """Kill a process with its children, and read what it has printed, which closes the pipe."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    while await process.stdout.read(_MAX_TOKEN_BYTES):
        pass
    await process.wait()


async def _output(process: Process) -> str | None:
    """Return what a process prints, without blanks around it, or None where it is too long for a token."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    output = b""
    while len(output) <= _MAX_TOKEN_BYTES and (chunk := await process.stdout.read(_MAX_TOKEN_BYTES)):
        output += chunk
    return output.decode("ascii", "replace").strip() if len(output) <= _MAX_TOKEN_BYTES else None
