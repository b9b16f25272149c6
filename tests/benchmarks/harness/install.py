"""Tools that only the benchmarks need: Postfix's test programs and nodemailer.

Each is searched for, or else installed if possible; otherwise the error says which command installs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from harness.child import BenchmarkError

#: Debian installs them in a folder that is not in an ordinary user's PATH.
_SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
_PACKAGES = {"nodemailer": "nodemailer@10", "juice": "juice@11"}


def cache_folder() -> Path:
    """Create and return the folder for installed tools and for the files of a run."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "campaign-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def postfix_tool(name: str) -> str:
    """Return the path of `smtp-sink` or `smtp-source`; as root, Debian's package is installed if need be.

    Raises:
        BenchmarkError: it is not there and cannot be installed.
    """
    if found := shutil.which(name, path=_SBIN):
        return found
    hint = f"{name} is missing; type: sudo apt-get install --no-install-recommends postfix"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BenchmarkError(hint)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get -q update", "apt-get -qy install --no-install-recommends postfix"):
        _attempt(command.split(), hint, quiet)
    if found := shutil.which(name, path=_SBIN):
        return found
    raise BenchmarkError(hint)


def nodemailer() -> tuple[str, Path]:
    """Return the path of `node` and the folder into which nodemailer and juice are installed.

    Raises:
        BenchmarkError: Node.js or the package is missing and cannot be installed.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise BenchmarkError("nodemailer needs Node.js; type: sudo apt-get install nodejs npm")
    folder = cache_folder()
    if missing := [name for name in _PACKAGES if not (folder / "node_modules" / name).is_dir()]:
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts"]
        packages = [_PACKAGES[name] for name in missing]
        _attempt([*command, *packages], f"npm could not install {', '.join(packages)}", dict(os.environ))
    return node, folder


def _attempt(command: list[str], hint: str, env: dict[str, str]) -> None:
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{hint} ({' '.join(command)}: {done.stderr.strip().splitlines()[-1:]})")
