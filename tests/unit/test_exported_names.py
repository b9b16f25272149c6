"""The names that `import campaign` gives: exactly these, each of them loaded when it is first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import campaign


def test_the_package_exports_exactly_these_names() -> None:
    """The names of the library are these, and `dir` shows them."""
    assert campaign.__all__ == [
        "CampaignError",
        "CheckReport",
        "Observer",
        "Result",
        "Settings",
        "Status",
        "Summary",
        "check",
        "run",
        "status",
    ]
    assert dir(campaign) == sorted(campaign.__all__)


@pytest.mark.parametrize("name", campaign.__all__)
def test_each_exported_name_is_documented(name: str) -> None:
    """Each name is there and has a docstring."""
    assert getattr(campaign, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that there is not is told as Python tells it."""
    with pytest.raises(AttributeError, match="no attribute 'send'"):
        _ = campaign.send


def test_importing_the_package_loads_nothing_else() -> None:
    """`import campaign` alone loads no module of the program, so that the command line starts fast."""
    code = "import campaign, sys; print([name for name in sys.modules if name.startswith('campaign.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_commands_load_what_they_need_when_they_run() -> None:
    """The command line is loaded without the libraries of single commands, so that `campaign --help` is fast."""
    slow = {"asyncio", "email", "httpx", "jinja2", "json", "pydantic", "rich", "sqlite3", "ssl"}
    code = f"import campaign.cli, sys; print(*sorted({slow} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
