"""From whichever folder a command is typed: the same log, the same settings, and nobody is mailed twice."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.environment import environment
from support.refusals import refused, stranger_to

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment
    from support.fork_server import ForkingWorkspace

#: How the campaign file is named from a folder beside the campaign's.
NAMES = ("../mine/campaign.toml", "{folder}/campaign.toml", "link/campaign.toml")


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def from_folder(env: Environment, elsewhere: Path) -> ForkingWorkspace:
    """Return a workspace that types its commands in another folder, with a symbolic link to the campaign's."""
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "link").symlink_to(env.work.folder)
    return replace(env.work, folder=elsewhere)


def into_dotenv(env: Environment) -> None:
    """Move the settings from the environment to `.env` beside the campaign file, without a log."""
    settings = {name: env.work.environment.pop(name) for name in list(env.work.environment)}
    del settings["CAMPAIGN_LOG"]
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    (env.work.folder / ".env").write_text(lines, encoding="utf-8")


def test_a_campaign_has_one_log_from_every_folder(tmp_path: Path) -> None:
    """Run from folder A, then from B by another path and by a link, a campaign mails everybody once."""
    with environment(folder(tmp_path / "mine")) as env:
        into_dotenv(env)
        for number, name in enumerate(NAMES):
            typing = from_folder(env, tmp_path / f"place{number}")
            done = typing.campaign("run", name.format(folder=env.work.folder), "--yes")
            assert (done.returncode, done.stderr) == (0, "")
            first = done.stdout.splitlines()[0]
            assert f"{name.format(folder=env.work.folder).removesuffix('campaign.toml')}.env. Send log: " in first
            assert "/send-log.db" in first
            assert ("which is new" in first) == (number == 0)
            assert ("nothing to send" in done.stdout) == (number > 0)
            assert '"sent": 3' in typing.campaign("status", name.format(folder=env.work.folder), "--json").stdout
            assert [path.name for path in typing.folder.iterdir()] == ["link"]
        assert len(env.accepted) == len(set(env.mailed)) == 3


def test_every_command_finds_the_log_from_another_folder(tmp_path: Path) -> None:
    """`log`, `retry`, `report`, `resolve` and `check` read what `run` wrote, from whichever folder."""
    with environment(folder(tmp_path / "mine")) as env:
        into_dotenv(env)
        assert env.work.campaign("run", "campaign.toml", "--yes").returncode == 0
        typing = from_folder(env, tmp_path / "elsewhere")
        for command in (("log",), ("retry",), ("resolve", "--keep"), ("report", "--html", "out.html"), ("check",)):
            done = typing.campaign(command[0], "../mine/campaign.toml", *command[1:])
            assert (done.returncode, done.stderr) == (0, ""), command
        assert sorted(path.name for path in typing.folder.iterdir()) == ["link", "out.html"]


def test_yes_without_settings_is_refused(tmp_path: Path) -> None:
    """`--yes` means for real: without settings it is refused with what to type, and nothing is made."""
    work = stranger_to(tmp_path)
    before = sorted(tmp_path.iterdir())
    for command in (("run",), ("revoke",), ("resend", "--revoked")):
        done = work.campaign(*command, "campaign.toml", "--yes")
        refused(done, "--yes", "CLERK_SECRET_KEY", ".env", "--sandbox")
    assert sorted(tmp_path.iterdir()) == before
    done = work.campaign("run", "campaign.toml", "--yes", "--sandbox")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_misspelt_setting_is_refused(place: str, tmp_path: Path) -> None:
    """A misspelt variable ends a run with the right name, before anything is made or sent."""
    with environment(tmp_path) as env:
        if place == "environment":
            env.work.environment["CAMPAIGN_LOGS"] = "other.db"
        else:
            (tmp_path / ".env").write_text("CAMPAIGN_LOGS=other.db\n", encoding="utf-8")
        refused(
            env.work.run(),
            f"CAMPAIGN_LOGS in {'the environment' if place == 'environment' else '.env'}",
            "CAMPAIGN_LOG?",
        )
        assert env.silent
        assert not env.work.log.exists()


def test_the_log_of_an_earlier_version_is_not_passed_over(tmp_path: Path) -> None:
    """A log of this campaign in the current folder, where 0.1.0 had it, is told instead of mailing everybody again."""
    with environment(folder(tmp_path / "mine")) as env:
        log = tmp_path / "place" / "send-log.db"
        typing = from_folder(env, log.parent)
        typing.environment["CAMPAIGN_LOG"] = str(log)
        assert typing.campaign("run", "../mine/campaign.toml", "--yes").returncode == 0
        del typing.environment["CAMPAIGN_LOG"]
        refused(typing.campaign("run", "../mine/campaign.toml", "--yes"), "mailed again", f"CAMPAIGN_LOG={log}", "mv ")
        assert len(env.accepted) == 3
        log.rename(env.work.log)
        assert "nothing to send" in typing.campaign("run", "../mine/campaign.toml", "--yes").stdout


def test_the_sandbox_says_where_it_is(tmp_path: Path) -> None:
    """From a folder that is not above the campaign's, the first line of a run has the whole path of the sandbox."""
    work = stranger_to(folder(tmp_path / "mine"))
    assert " in .campaign/." in work.campaign("run", "campaign.toml").stdout.splitlines()[0]
    elsewhere = folder(tmp_path / "elsewhere")
    done = replace(work, folder=elsewhere).campaign("run", "../mine/campaign.toml")
    assert f" in {elsewhere.resolve()}/.campaign/." in done.stdout.splitlines()[0]


@pytest.mark.parametrize("known", ["nothing", "another campaign"])
def test_the_question_says_what_the_log_knows(known: str, tmp_path: Path) -> None:
    """The question names the log, and says whether it is new or has no mail of this campaign yet."""
    with environment(tmp_path, 2) as env:
        if known == "another campaign":
            assert env.work.run().returncode == 0
            env.work.file.write_text(env.work.file.read_text("utf-8").replace('"trial"', '"second"'), "utf-8")
        keyboard, terminal = os.openpty()
        try:
            process = env.work.start("run", "campaign.toml", stdin=terminal)
            os.write(keyboard, b"no\n")
            said, warned = process.communicate(timeout=30)
        finally:
            os.close(keyboard)
            os.close(terminal)
        assert (process.returncode, warned) == (130, "")
        words = "is new." if known == "nothing" else "; it has no mail of second yet."
        assert f"{env.work.log}" in said.splitlines()[0]
        assert ("which is new" in said.splitlines()[0]) == (known == "nothing")
        assert f"{env.work.log} {words}".replace(" ;", ";") in said


def test_the_end_of_the_input_is_a_no(tmp_path: Path) -> None:
    """Ctrl-D at the question sends nothing and ends with 130."""
    with environment(tmp_path, 1) as env:
        keyboard, terminal = os.openpty()
        try:
            process = env.work.start("run", "campaign.toml", stdin=terminal)
            os.write(keyboard, b"\x04")
            said, warned = process.communicate(timeout=30)
        finally:
            os.close(keyboard)
            os.close(terminal)
        assert (process.returncode, warned) == (130, "")
        assert "Nothing was sent." in said
        assert env.silent
