"""Starting the peers. Each function returns the resources that the peer's whole process used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness import install, material
from harness.child import measure

if TYPE_CHECKING:
    from harness.child import Usage

_PEERS = Path(__file__).parent.parent / "peers"
_CONNECTIONS = 10


def nodemailer(port: int, recipients: Path, templates: Path, *, key: Path | None = None, style: bool = False) -> Usage:
    """Send to all recipients through nodemailer's pool.

    With a key nodemailer signs each message (DKIM), and with `style` juice inlines the CSS of each.

    Raises:
        BenchmarkError: it cannot be installed, or failed.
    """
    node, folder = install.nodemailer()
    script = [node, str(_PEERS / "nodemailer.mjs"), *(["--juice"] if style else []), str(folder)]
    signing = [] if key is None else [material.DOMAIN, material.SELECTOR, str(key)]
    return measure([*script, str(port), str(recipients), *_message(templates), *signing])


def aiosmtplib(port: int, recipients: Path, templates: Path) -> Usage:
    """Send to all recipients with plain aiosmtplib.

    Raises:
        BenchmarkError: it failed.
    """
    script = [sys.executable, str(_PEERS / "aiosmtplib_pool.py")]
    return measure([*script, str(port), str(recipients), *_message(templates)])


def smtp_source(port: int, count: int, size: int) -> Usage:
    """Send `count` canned messages with a payload of `size` bytes through `smtp-source -d`; no CSV is read.

    Raises:
        BenchmarkError: it cannot be installed, or failed.
    """
    command = [install.postfix_tool("smtp-source"), "-d", "-s", str(_CONNECTIONS)]
    return measure([*command, "-l", str(size), "-m", str(count), f"127.0.0.1:{port}"])


def httpx_loop(port: int, recipients: Path, concurrency: int) -> Usage:
    """Request a token per recipient with a bare httpx loop.

    Raises:
        BenchmarkError: it failed.
    """
    return measure([sys.executable, str(_PEERS / "httpx_loop.py"), str(port), str(recipients), str(concurrency)])


def _message(templates: Path) -> list[str]:
    return [str(templates), material.SENDER, material.SUBJECT]
