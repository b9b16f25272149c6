"""The program under test as users start it: `campaign run FILE --yes` and other commands, in a clean environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness import material
from harness.child import Child, Usage, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

_REPOSITORY = Path(__file__).resolve().parents[3]
_LOG = "send-log.db"
COMMAND = (sys.executable, "-m", "campaign")


class Campaign:
    """A campaign file with its templates in a folder of its own, and a send log beside it."""

    def __init__(
        self,
        folder: Path,
        *,
        smtp: int,
        clerk: int | None = None,
        limits: Mapping[str, str] | None = None,
        domains: Mapping[str, str] | None = None,
        verify: bool = True,
        key: Path | None = None,
        style: bool = False,
        connections: int = 10,
    ) -> None:
        """Write the campaign file and its templates.

        Args:
            folder: a new folder, which is created.
            smtp: the port of the mail server on 127.0.0.1.
            clerk: the port of the token server; None means a campaign without tokens.
            limits: `messages` and `tokens`, as they stand in the campaign file.
            domains: the rates of recipient domains, in the same form.
            verify: whether the addresses are compared with Clerk's users first.
            key: the DKIM key; None means unsigned mails.
            style: whether the template's CSS is in a `<style>`.
            connections: the largest number of connections to the mail server.
        """
        folder.mkdir(parents=True)
        self._folder = folder
        self.file = folder / "campaign.toml"
        self._env = environment() | _settings(smtp, clerk) | ({"CAMPAIGN_DKIM_KEY": str(key)} if key else {})
        material.write_templates(folder, material.PLAIN_LINK if clerk is None else material.LINK, style=style)
        self.file.write_text(
            _definition(limits or {}, domains or {}, connections, tokens=clerk is not None, verify=verify),
            encoding="utf-8",
        )
        if key is not None:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(f'\n[dkim]\nselector = "{material.SELECTOR}"\ndomain = "{material.DOMAIN}"\n')

    def start(self, recipients: Path, *, log: str = _LOG) -> Child:
        """Start `campaign run` with the existing log."""
        command = (*COMMAND, "run", str(self.file), "--recipients", str(recipients), "--yes")
        return Child.start(command, env=self._env | {"CAMPAIGN_LOG": log}, cwd=self._folder)

    def resume(self, recipients: Path, *, log: str = _LOG) -> Usage:
        """Run `campaign run` to its end with the existing log.

        Raises:
            BenchmarkError: not all recipients were sent the message.
        """
        return self.start(recipients, log=log).wait()

    def run(self, recipients: Path) -> Usage:
        """Run `campaign run` to its end with a new log.

        Raises:
            BenchmarkError: not all recipients were sent the message.
        """
        for path in self._folder.glob(_LOG + "*"):
            path.unlink()
        os.sync()
        return self.resume(recipients)

    def status(self, *, log: str = _LOG) -> Usage:
        """Run `campaign status --json` on a log.

        Raises:
            BenchmarkError: it did not end with 0.
        """
        command = (*COMMAND, "status", str(self.file), "--json")
        return measure(command, env=self._env | {"CAMPAIGN_LOG": log}, cwd=self._folder)


def _definition(
    limits: Mapping[str, str], domains: Mapping[str, str], connections: int, *, tokens: bool, verify: bool
) -> str:
    link = '\n[link]\nurl = "https://acme.example/welcome"\nexpires_in = "48h"\n' if tokens else ""
    asked = "" if verify else "verify_address = false\n"
    rates = "".join(f'{name} = "{rate}"\n' for name, rate in limits.items())
    special = "".join(f'"{domain}" = "{rate}"\n' for domain, rate in domains.items())
    return (
        'name = "benchmark"\n\n[recipients]\nfile = "recipients.csv"\n'
        f'{asked}\n[email]\nfrom = "{material.SENDER}"\nsubject = "{material.SUBJECT}"\n'
        f'html = "email.html"\ntext = "email.txt"\n{link}\n[limits]\n{rates}connections = {connections}\n'
        f"\n[limits.domains]\n{special}"
    )


def environment() -> dict[str, str]:
    """Return the environment without the program's settings, in which the program of this tree is imported.

    Python may write and use bytecode, as for an installed program.
    """
    other = ("CAMPAIGN_", "CLERK_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(other)}
    return kept | {"PYTHONPATH": str(_REPOSITORY)}


def _settings(smtp: int, clerk: int | None) -> dict[str, str]:
    settings = {"CAMPAIGN_SMTP_URL": f"smtp://127.0.0.1:{smtp}?tls=none", "CAMPAIGN_LOG": _LOG}
    if clerk is None:
        return settings
    # A production key, so that without `limits.tokens` Clerk's 1000 requests per 10 seconds apply.
    return settings | {"CLERK_SECRET_KEY": "sk_live_benchmark", "CLERK_API_URL": f"http://127.0.0.1:{clerk}"}
