"""The versions of other packages that an installation may have."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement

from support import ROOT


@pytest.mark.parametrize(
    ("name", "last_with_a_hole"),
    [
        ("cryptography", "48.0.0"),
        ("pyjwt", "2.12.9"),
        ("starlette", "0.49.0"),  # CVE-2025-62727: a Range header that takes quadratic time
        ("aiosmtpd", "1.4.5"),  # CVE-2024-34083: commands before STARTTLS are answered after it
        ("jinja2", "3.1.5"),  # CVE-2025-27516: out of the sandboxed environment
    ],
)
def test_a_version_with_a_known_hole_is_not_taken(name: str, last_with_a_hole: str) -> None:
    """The lowest version that pyproject.toml allows is one whose known holes are closed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (wanted,) = [found for found in map(Requirement, project["dependencies"]) if found.name == name]
    assert last_with_a_hole not in wanted.specifier
