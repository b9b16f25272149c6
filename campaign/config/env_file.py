"""Find the `.env` of a campaign file, `env_file_of`, and what is wrong with it: `sources_to_refuse`, `misspelt`."""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_NAME = ".env"
#: From which similarity to a setting's name (0 to 1, without the prefix) a variable counts as misspelt, by prefix.
#: Clerk's own libraries read variables such as CLERK_JWT_KEY and CLERK_MACHINE_SECRET_KEY: these are not misspelt.
_MISSPELT_FROM = {"CAMPAIGN_": 0.6, "CLERK_": 0.73}


def folder_of(file: Path) -> Path:
    """Return the folder of a campaign file; of a symbolic link, that of the file it leads to."""
    return Path(os.path.realpath(file)).parent if file.is_symlink() else file.parent


def env_file_of(file: Path | None) -> Path | None:
    """Return the `.env` beside a campaign file, else that of the current folder, else None.

    Args:
        file: the campaign file; None for a command without one.
    """
    places = [Path(_NAME)] if file is None else [folder_of(file) / _NAME, Path(_NAME)]
    return next((place for place in places if place.is_file()), None)


def writable_by_others(env_file: Path | None) -> list[str]:
    """Return a problem if other users may write `.env`, which decides where mail and keys go."""
    if env_file is not None and env_file.stat().st_mode & stat.S_IWOTH:
        command = shlex.join(["chmod", "600", str(env_file)])
        return [f"{env_file} can be written by every user of this machine; type: {command}"]
    return []


def misspelt(places: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """Return a problem for each variable whose name is almost that of a setting: it would have no effect.

    Args:
        places: where each variable is set, by its name.
        known: the names of the settings.
    """
    settings = set(known)
    return [
        f"{name} in {place} is not a setting; did you mean {meant}? Rename it, or remove it."
        for name, place in sorted(places.items())
        if name not in settings and (meant := _meant(name, settings))
    ]


def _meant(name: str, settings: set[str]) -> str | None:
    """Return the setting of which a variable's name is a misspelling; None if it is another program's."""
    for prefix, cutoff in _MISSPELT_FROM.items():
        if name.startswith(prefix):
            rests = sorted(each.removeprefix(prefix) for each in settings if each.startswith(prefix))
            near = difflib.get_close_matches(name.removeprefix(prefix), rests, n=1, cutoff=cutoff)
            return prefix + near[0] if near else None
    return None


def sources_to_refuse(
    files: Collection[str], destinations: Mapping[str, Sequence[str]], *, given: Collection[str], env_file: Path | None
) -> list[str]:
    """Return a problem for each setting of `.env` that would send secrets elsewhere, or reach for more.

    Args:
        files: the settings that run a command, or name a file whose content is sent away.
        destinations: the settings that say whereto something is sent, each with the secrets that would go there.
        given: the variables of the environment.
        env_file: the `.env`.
    """
    problems = [
        f"{name}: set it in the environment, not in {env_file}: a file in a folder must not run a command or name "
        "a file whose content is sent away."
        for name in files
        if name not in given
    ]
    for destination, secrets in destinations.items():
        if destination not in given:
            problems += [
                f"{destination}: it is from {env_file}, and {secret} is from the environment. The secret is not sent "
                f"to an address that a file in a folder names: set {destination} in the environment, too."
                for secret in secrets
                if secret in given
            ]
    return problems
