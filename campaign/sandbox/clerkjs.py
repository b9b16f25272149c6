"""Find or fetch `@clerk/clerk-js`, Clerk's script for the browser, as its npm package contains it: `ClerkJs`.

A wheel contains the files in this folder, put there by `ship_clerk_js.py`. Otherwise npm fetches them into the
sandbox's folder when a page first needs them. Their licence (MIT) and version are included as `LICENSE` and
`package.json`.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
import threading
from pathlib import Path, PurePosixPath

from campaign.sandbox.errors import SandboxError
from campaign.sandbox.folder import private_folder

#: The releases that the sandbox was tested with, by major version: the current and the previous one.
RELEASES = {"6": "6.40.0", "5": "5.128.0"}

#: The folder of the files that are shipped with the program.
SHIPPED = Path(__file__).parent / "clerk-js"

_SCRIPT = "clerk.browser.js"

#: The time-out for npm (seconds).
_NPM_TIMEOUT_S = 120


class ClerkJs:
    """The script files, shipped or fetched.

    Attributes:
        folder: where fetched files are stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fetching = threading.Lock()

    def file(self, version: str, name: str) -> Path | None:
        """Return the file of a version (`6`, `6.40.0`), or None if there is no such file or version.

        This can take as long as npm takes.

        Raises:
            SandboxError: the version is not installed and cannot be fetched.
        """
        release = RELEASES.get(version.partition(".")[0])
        if release is None:
            return None
        with self._fetching:
            places = (SHIPPED / release, self.folder / release)
            found = next((place for place in places if (place / _SCRIPT).is_file()), None)
            if found is None:
                private_folder(self.folder)
                found = fetch(release, into=self.folder)
        # The name comes from a request: only a file that is listed in the folder is returned.
        return next((file for file in found.iterdir() if file.name == name), None)


def fetch(release: str, *, into: Path) -> Path:
    """Fetch a release with npm and return its folder, `into`/`release`.

    Raises:
        SandboxError: npm is missing or fails; the message says what to do.
    """
    lack = f"Signing in needs Clerk's own script, @clerk/clerk-js {release}, which is not here"
    npm = shutil.which("npm")
    if npm is None:
        raise SandboxError(
            f"{lack}; npm, which fetches it, is not installed either: "
            "install Node.js (npm comes with it) and reload the page."
        )
    with tempfile.TemporaryDirectory(dir=into, prefix="fetching-") as scratch:
        try:
            subprocess.run(  # noqa: S603 - no argument comes from outside
                [npm, "pack", "--silent", "--ignore-scripts", f"@clerk/clerk-js@{release}"],
                cwd=scratch,
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_NPM_TIMEOUT_S,
            )
            (archive,) = Path(scratch).glob("*.tgz")
            fresh = Path(scratch) / release
            fresh.mkdir()
            _unpack(archive, fresh)
        except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
            raise SandboxError(
                f"{lack}; npm could not fetch it ({type(error).__name__}): "
                f"see that `npm pack @clerk/clerk-js@{release}` works and reload the page."
            ) from error
        final = into / release
        if not (final / _SCRIPT).is_file():
            shutil.rmtree(final, ignore_errors=True)
            fresh.rename(final)
    return final


def _unpack(archive: Path, folder: Path) -> None:
    """Extract the browser script, the chunks that it loads, the licence and package.json."""
    with tarfile.open(archive) as package:
        for member in package:
            path = PurePosixPath(member.name)
            wanted = (
                path.parent.as_posix() == "package/dist" and path.suffix == ".js" and "clerk.browser" in path.name
            ) or member.name in {"package/LICENSE", "package/package.json"}
            content = package.extractfile(member) if wanted and member.isfile() else None
            if content is not None:
                (folder / path.name).write_bytes(content.read())
    if not (folder / _SCRIPT).is_file():
        raise ValueError(f"{archive.name} has no {_SCRIPT}")
