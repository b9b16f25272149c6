"""`campaign landing` on the command line: where the page is written, where the key comes from, what is refused."""

from __future__ import annotations

import base64
import stat
from typing import TYPE_CHECKING

import pytest

from campaign.landing import landing_page, next_page
from support.fork_server import ForkingWorkspace
from support.no_fault import assert_no_fault

if TYPE_CHECKING:
    from pathlib import Path

KEY = "pk_test_" + base64.b64encode(b"clerk.acme.example$").decode()


@pytest.fixture
def here(tmp_path: Path) -> ForkingWorkspace:
    return ForkingWorkspace(tmp_path)


def test_the_page_goes_to_standard_output(here: ForkingWorkspace) -> None:
    """Without `--out` only the page is printed, made from the options as typed."""
    options = ("--publishable-key", KEY, "--redirect", "/cart", "--parameter", "ticket")
    answer = here.campaign("landing", *options)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == landing_page(publishable_key=KEY, redirect="/cart", parameter="ticket")


def test_the_key_is_that_of_the_settings(here: ForkingWorkspace) -> None:
    """CLERK_PUBLISHABLE_KEY is used if no key is typed, and a typed key wins."""
    here.environment["CLERK_PUBLISHABLE_KEY"] = KEY
    other = "pk_live_" + base64.b64encode(b"clerk.other.example$").decode()
    assert here.campaign("landing").stdout == landing_page(publishable_key=KEY, redirect=None)
    answer = here.campaign("landing", "--publishable-key", other)
    assert answer.stdout == landing_page(publishable_key=other, redirect=None)


def test_the_file_is_public(here: ForkingWorkspace) -> None:
    """`--out` writes a file that a web server can read, whatever the umask, and says what to do with it."""
    answer = here.campaign("landing", "--publishable-key", KEY, "--out", "welcome.html")
    assert answer.stdout == "Wrote welcome.html; its first lines say how to serve it.\n"
    file = here.folder / "welcome.html"
    assert file.read_text("utf-8") == landing_page(publishable_key=KEY, redirect=None)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [path.name for path in here.folder.iterdir()] == ["welcome.html"]


def test_a_file_is_replaced_only_by_force(here: ForkingWorkspace) -> None:
    """An existing file is kept, with an error that names `--force`; with `--force` the page replaces it."""
    file = here.folder / "welcome.html"
    file.write_text("mine")
    command = ("landing", "--publishable-key", KEY, "--out", "welcome.html")
    answer = here.campaign(*command)
    assert (answer.returncode, file.read_text()) == (2, "mine")
    assert answer.stderr.startswith("campaign: welcome.html exists and was not changed; add --force")
    assert here.campaign(*command, "--force").returncode == 0
    assert file.read_text("utf-8") == landing_page(publishable_key=KEY, redirect=None)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (".", "is not a regular file and cannot be replaced"),
        ("/dev/null", "is not a regular file and cannot be replaced"),
        ("no/such/folder/page.html", "the folder no/such/folder does not exist"),
        ("a" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_told(here: ForkingWorkspace, place: str, sentence: str) -> None:
    """A folder, a device, or a path in a missing folder is refused, even with `--force`."""
    answer = here.campaign("landing", "--publishable-key", KEY, "--out", place, "--force")
    assert answer.returncode == 2
    assert sentence in answer.stderr
    assert_no_fault(answer.stderr)


@pytest.mark.parametrize(
    ("router", "options"), [("app", ()), ("app", ("--router", "app")), ("pages", ("--router", "pages"))]
)
def test_the_page_for_next(here: ForkingWorkspace, router: str, options: tuple[str, ...]) -> None:
    """`--framework next` writes the page for a router, by default the App Router, and needs no key."""
    answer = here.campaign("landing", "--framework", "next", "--redirect", "/cart", *options)
    assert answer.returncode == 0
    assert answer.stdout == next_page(router="app" if router == "app" else "pages", redirect="/cart")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "give --publishable-key pk_test_…, or set CLERK_PUBLISHABLE_KEY"),
        (("--publishable-key", ""), "give --publishable-key"),
        (("--publishable-key", "pk_test_cut"), "may be cut off"),
        (("--publishable-key", "sk_live_0123456789"), "This is Clerk's secret key"),
        (("--framework", "next", "--publishable-key", "pk_test_cut"), "may be cut off"),
        (("--publishable-key", KEY, "--redirect", "javascript:alert(1)"), "--redirect 'javascript:alert(1)'"),
        (("--publishable-key", KEY, "--parameter", "a b"), "link.parameter must be letters"),
        (("--publishable-key", KEY, "--router", "app"), "add --framework next"),
    ],
)
def test_wrong_input_is_a_sentence(here: ForkingWorkspace, options: tuple[str, ...], sentence: str) -> None:
    """Invalid input gives one error on standard error and exit code 2."""
    answer = here.campaign("landing", *options)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert sentence in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert "0123456789" not in answer.stderr


def test_a_malformed_setting_is_a_sentence(here: ForkingWorkspace) -> None:
    """If a key in the environment is malformed, the error names its variable."""
    here.environment["CLERK_PUBLISHABLE_KEY"] = "pk_test_cut"
    assert "may be cut off" in here.campaign("landing").stderr
    here.environment["CLERK_PUBLISHABLE_KEY"] = "nonsense"
    answer = here.campaign("landing")
    assert answer.returncode == 2
    assert answer.stderr.startswith("campaign: CLERK_PUBLISHABLE_KEY: ")
