"""Fetch Clerk's script into this package, for wheels and tests: `python -m campaign.sandbox.ship_clerk_js`.

It needs npm, and does nothing if the script is already there. The argument `5` or `6` selects a major version
other than the current one.
"""

from __future__ import annotations

import sys

from campaign.sandbox.clerkjs import RELEASES, SHIPPED, fetch
from campaign.sandbox.errors import SandboxError


def ship(majors: list[str]) -> None:
    """Fetch these major versions, or the current one, into the folder that the sandbox searches first.

    Raises:
        SystemExit: a version is unknown, or npm cannot fetch it; the message says why.
    """
    for major in majors or [next(iter(RELEASES))]:
        release = RELEASES.get(major)
        if release is None:
            raise SystemExit(f"The sandbox has no major version {major}; it knows {' and '.join(RELEASES)}.")
        SHIPPED.mkdir(exist_ok=True)
        if not (SHIPPED / release).is_dir():
            try:
                fetch(release, into=SHIPPED)
            except SandboxError as error:
                raise SystemExit(str(error)) from error


if __name__ == "__main__":
    ship(sys.argv[1:])
