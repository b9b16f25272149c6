"""Find the `.env` of a campaign file, and what is wrong with it: `env_file_of`, `writable_by_others`, `misspelt`."""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
