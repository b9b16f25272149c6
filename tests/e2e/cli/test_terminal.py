"""What a terminal is sent: no control character of a file's name, a key or an option."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.environment import environment

if TYPE_CHECKING:
    from pathlib import Path

#: Clears the screen, sets the window's title, and is the one-byte form of ESC [ in Latin-1.
HOSTILE = "a\x1b[2J\x1b]0;mine\x07\x9b31m.csv"


def is_clean(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\r\t" for letter in text)


@pytest.mark.parametrize(
    "command", ["run --yes", "check", "preview", "skip --missing", "run --yes --limit 1", "test --to me@acme.example"]
)
def test_a_files_name_does_not_steer_the_terminal(tmp_path: Path, command: str) -> None:
    """A CSV with escape characters in its name is named with spaces instead, by every command and in every error."""
    with environment(tmp_path) as env:
        env.work.write_people(2, HOSTILE)
        name, *options = command.split()
        if name == "skip":
            env.work.run()
        for file in (HOSTILE, f"no-{HOSTILE}"):
            done = env.work.campaign(name, "campaign.toml", "--recipients", file, *options)
            assert is_clean(done.stdout + done.stderr), done
            assert ("no-a [2J" in done.stdout + done.stderr) == (file != HOSTILE)


def test_a_folders_name_does_not_steer_the_terminal(tmp_path: Path) -> None:
    """A folder with escape characters in its name is harmless in the first line, the table and the hints."""
    folder = tmp_path / HOSTILE
    folder.mkdir()
    with environment(folder) as env:
        for command in ("run --yes --limit 1", "status", "run --yes --no-wait", "status --json"):
            name, *options = command.split()
            done = env.work.campaign(name, str(env.work.file), *options)
            assert done.returncode == 0, done
            assert is_clean(done.stdout + done.stderr), done
