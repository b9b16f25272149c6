"""Create a campaign in its own folder and run the program on it as a process, by its command line: `Workspace`."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

#: A live one, since Clerk allows it ten times as many calls per second: the tests need not wait.
SECRET_KEY = "sk_live_" + "k" * 40
#: How the names of the program's variables begin.
_MINE = ("CLERK_", "CAMPAIGN_")

_HTML = """<!doctype html>
<html><head><style>a { color: #06c }</style></head>
<body><p>Hello {{ first_name }}</p><p><a href="{{ link }}">Sign in</a></p></body></html>
"""
_TEXT = "Hello {{ first_name }}\n\n{{ link }}\n"


@dataclass
class Workspace:
    """A folder with a campaign file, its templates and a CSV."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The campaign file."""
        return self.folder / "campaign.toml"

    @property
    def log(self) -> Path:
        """The send log."""
        return self.folder / "send-log.db"

    def write(
        self,
        people: Iterable[Mapping[str, str]] | int = 3,
        *,
        link: bool = True,
        html: str | None = None,
        text: str | None = _TEXT,
        more: str = "",
        recipients: str = "",
    ) -> Self:
        """Write the campaign; `people` are rows, or the number of imaginary ones; `more` is text to append."""
        section = '[link]\nurl = "https://acme.example/welcome"\nexpires_in = "48h"\n' if link else ""
        text_line = 'text = "email.txt"\n' if text is not None else ""
        self.file.write_text(
            f'name = "trial"\n[recipients]\nfile = "people.csv"\n{recipients}\n'
            '[email]\nfrom = "Acme <hello@acme.example>"\nsubject = "Hello {{ first_name }}"\nhtml = "email.html"\n'
            f"{text_line}{section}{more}",
            encoding="utf-8",
        )
        body = html or (_HTML if link else "<p>Hello {{ first_name }}</p>")
        (self.folder / "email.html").write_text(body, encoding="utf-8")
        if text is not None:
            (self.folder / "email.txt").write_text(text if link else "Hello {{ first_name }}\n", encoding="utf-8")
        self.write_people(people)
        return self

    def write_people(self, people: Iterable[Mapping[str, str]] | int, name: str = "people.csv") -> Path:
        """Write a CSV and return its path."""
        rows = list(made_up(people)) if isinstance(people, int) else list(people)
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    def serve_by(self, *, clerk: str | None = None, smtp: str | None = None) -> Self:
        """Set the URLs of the servers."""
        if clerk is not None:
            self.environment |= {"CLERK_SECRET_KEY": SECRET_KEY, "CLERK_API_URL": clerk}
        if smtp is not None:
            self.environment["CAMPAIGN_SMTP_URL"] = smtp
        self.environment["CAMPAIGN_LOG"] = str(self.log)
        return self

    def start(
        self,
        *arguments: str,
        by: Sequence[str] = (),
        of: Sequence[str] = (sys.executable, "-m", "campaign"),
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[str]:
        """Start `campaign` with these arguments; `by` is a program to run it under, `of` a replacement command."""
        return self._popen(
            [*by, *of, *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def campaign(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `campaign` with these arguments to its end."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"still running after {timeout} s: {process.communicate()}") from None
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self, *options: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `campaign run campaign.toml` to its end, with `--yes` if a setting is made: else it is the sandbox."""
        set_up = any(name.startswith(_MINE) for name in self.environment)
        return self.campaign("run", "campaign.toml", *["--yes"] * set_up, *options, timeout=timeout)

    def status(self) -> dict[str, Any]:
        """Return what `campaign status --json` prints."""
        answer = self.campaign("status", "campaign.toml", "--json")
        assert answer.returncode == 0, answer.stderr
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return what `campaign log --format jsonl` prints."""
        answer = self.campaign("log", "campaign.toml", "--format", "jsonl")
        assert answer.returncode == 0, answer.stderr
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def _popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's
        return subprocess.Popen(command, **options)

    def _environment(self) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith(_MINE)}
        return outside | self.environment


def made_up(number: int) -> Iterable[dict[str, str]]:
    """Yield `number` imaginary people."""
    for each in range(number):
        yield {"user_id": f"user_{each}", "email": f"u{each}@d{each % 5}.example", "first_name": f"Name {each}"}
