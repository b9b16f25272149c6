"""Install npm packages for the browser tests in the user's cache, outside the repository: `project`, `clerk_js`."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from campaign.sandbox.clerkjs import RELEASES, ClerkJs
from campaign.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The time-out for npm (seconds).
_INSTALL_TIMEOUT_S = 600


def cache() -> Path:
    """Return the folder that is kept between test runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "campaign-tests"


def clerk_js() -> dict[str, Path]:
    """Return the folders of clerk-js, by major version."""
    scripts = ClerkJs(cache() / "clerk-js")
    folders = {}
    with only_one(cache() / "clerk-js"):
        for major in RELEASES:
            try:
                file = scripts.file(major, "clerk.browser.js")
            except SandboxError as error:
                pytest.skip(str(error))
            assert file is not None
            folders[major] = file.parent
    return folders


def project(name: str, dependencies: Mapping[str, str]) -> Path:
    """Return a folder whose `node_modules` contains these packages and their dependencies."""
    folder = cache() / name
    wanted = json.dumps({"private": True, "dependencies": dict(dependencies)}, indent=2)
    manifest, done = folder / "package.json", folder / "installed.json"
    if not (done.is_file() and done.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        manifest.write_text(wanted)
        _npm(folder, "install", "--ignore-scripts", "--no-audit", "--no-fund")
        done.write_text(wanted)
    return folder


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Lock a folder of the cache, so that only one process at a time works in it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _npm(folder: Path, *command: str) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: it fetches Clerk's scripts for the browser tests")
    ran = subprocess.run(
        ["npm", *command, "--loglevel=error"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_INSTALL_TIMEOUT_S,
        check=False,
    )
    if ran.returncode:
        pytest.skip(f"npm {command[0]} failed, is there a network? {ran.stderr.strip()[-300:]}")
