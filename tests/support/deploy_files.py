"""Read the files of `deploy/` as Docker and systemd do: `dockerfile`, `ignored`, `unit`."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import NamedTuple

from support import ROOT

DEPLOY = ROOT / "deploy"


class Instruction(NamedTuple):
    """An instruction of a Dockerfile."""

    name: str
    #: What stands behind the name, on one line.
    text: str
    #: The number of its stage, from 0.
    stage: int

    @property
    def words(self) -> list[str]:
        """The words of the exec form, a JSON array."""
        words = json.loads(self.text[self.text.index("[") :])
        assert all(isinstance(word, str) for word in words)
        return list(words)


def dockerfile() -> list[Instruction]:
    """Return the instructions of the Dockerfile: comments left out, continued lines joined (Dockerfile reference)."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    instructions = list[Instruction]()
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, text = line.partition(" ")
        stage = (instructions[-1].stage if instructions else -1) + (name == "FROM")
        instructions.append(Instruction(name, text.strip(), stage))
    return instructions


def ignored(path: str) -> bool:
    """Return whether the build does not see a file, by the patterns of Dockerfile.dockerignore: the last match counts.

    Args:
        path: relative to the repository, such as `campaign/errors.py`.
    """
    left_out = False
    for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and _matches(path, pattern):
            left_out = not line.startswith("!")
    return left_out


def _matches(path: str, pattern: str) -> bool:
    """Return whether a pattern matches a path or one of the folders above it."""
    parts = path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatchcase(part, pattern.removeprefix("**/")) for part in parts)
    return any(fnmatch.fnmatchcase(one, pattern) and one.count("/") == pattern.count("/") for one in above)


def unit() -> dict[str, list[str]]:
    """Return the values of each key of the unit, in order; no key stands in two of its sections."""
    values = dict[str, list[str]]()
    for line in (DEPLOY / "campaign-watch.service").read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values
