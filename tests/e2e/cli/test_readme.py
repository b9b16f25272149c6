"""The README compared with the program: its commands, output, tables and links."""

from __future__ import annotations

import re
import shlex
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import click
import pytest

from campaign.cli.group import commands as cli
from campaign.config.definition import AttachmentSection, DkimSection, LimitsSection, RecipientsSection, load_definition
from campaign.config.settings import Settings
from campaign.model import Status
from campaign.schedule.duration import parse_duration
from campaign.watching.metrics import FAMILIES
from support import ROOT
from support.fork_server import ForkingWorkspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    """Return the fenced blocks of a language; the empty language is that of output and diagrams."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [block for named, block in blocks if named == language]


def table(first_header: str) -> list[list[str]]:
    """Return the rows of the table whose first column has this header."""
    found = re.search(rf"^\| {first_header} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert found is not None, f"README.md has a table that begins with {first_header!r}"
    rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in found[1].splitlines()]
    return [[cell.strip().replace(r"\|", "|") for cell in row] for row in rows]


def commands() -> Iterator[list[str]]:
    """Yield the words of each `campaign` command in a code span, a shell block or a table."""
    spans = re.findall(r"`((?:\.venv/bin/)?campaign [^`]+)`", README)
    lines = [part for block in fences("bash") for line in block.splitlines() for part in line.split("&&")]
    for text in [*spans, *lines]:
        words = shlex.split(text.replace(r"\|", "|").replace("'", ""), comments=True)
        if words and words[0].removeprefix(".venv/bin/") == "campaign" and len(words) > 1:
            yield words[1:]


def without_figures(text: str) -> list[str]:
    """Return the lines of an output, with everything that differs between runs replaced."""
    text = re.sub(r"(127\.0\.0\.1:)\d+", r"\1PORT", text)
    text = re.sub(r"mail/new/\S+", "mail/new/NAME", text)
    return re.sub(r"in [\d.]+ s, [\d.,]+ a second", "in TIME", text).strip().splitlines()


def test_the_first_command_does_what_is_shown(tmp_path: Path) -> None:
    """The README's first command exits 0 in a fresh copy, and prints the output shown below it."""
    first = fences("bash")[0].strip()
    assert "\n" not in first, "one command"
    install, _, command = first.rpartition("&&")
    assert "pip install" in install
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/campaign"
    for name in ("templates", "recipients"):
        shutil.copytree(ROOT / name, tmp_path / name)
    done = ForkingWorkspace(tmp_path).campaign(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert without_figures(done.stdout) == without_figures(fences("")[1]), "the block after the picture is its output"


def test_every_command_that_is_named_exists() -> None:
    """Each `campaign …` in the README is a valid command with valid options, and every command is mentioned."""
    named = set()
    for words in commands():
        command = cli.commands.get(words[0])
        assert command is not None, f"there is no campaign {words[0]}"
        named.add(words[0])
        below = command.commands if isinstance(command, click.Group) else getattr(command, "subcommands", {})
        if below and (words[1] in below or (isinstance(command, click.Group) and words[1].isalpha())):
            command = below[words[1]]
        known = {option for param in command.params for option in param.opts}
        for option in re.findall(r"--[a-z][a-z-]*", " ".join(words[1:])):
            assert option in known, f"campaign {words[0]} knows no {option}"
    assert named == set(cli.commands)


def test_the_table_of_commands_has_a_row_for_each() -> None:
    """The table of commands has a row for each command, with its arguments."""
    rows = {shlex.split(row[0].strip("`"))[1]: row[0] for row in table("command")}
    assert rows.keys() == cli.commands.keys()
    for name, command in cli.commands.items():
        arguments = [param.human_readable_name for param in command.params if isinstance(param, click.Argument)]
        assert all(argument in rows[name] for argument in arguments)


def test_the_table_of_settings_is_that_of_the_program() -> None:
    """The table of settings has each variable that the program reads, with its default."""
    shown = {row[0].strip("`"): row[1].strip("`") for row in table("name")}
    fields = {(field.alias or name).upper(): field.default for name, field in Settings.model_fields.items()}
    assert list(shown) == list(fields)
    for name, default in fields.items():
        if default is None:
            assert shown[name] == "\N{EN DASH}", name
        elif isinstance(default, timedelta):
            assert parse_duration(shown[name]) == default, name
        else:
            assert shown[name] == str(default), name


def test_the_table_of_states_is_that_of_the_program() -> None:
    """The table of states has each state of a recipient, in the program's order."""
    assert [row[0].strip("`") for row in table("state")] == [str(status) for status in Status]


def test_the_table_of_metrics_is_that_of_the_program() -> None:
    """The table of metrics has each metric of a watch in its order, with its labels and what it counts."""
    shown = [(row[0].strip("`"), re.findall(r"`(\w+)`", row[1]), f"{row[2]}.") for row in table("metric")]
    assert shown == [(family.name, ["campaign", *family.labels], family.help) for family in FAMILIES]


def test_the_alerts_that_are_shown_name_metrics_of_the_program() -> None:
    """Each alert of the README is about a metric that a watch has."""
    for row in table("alert"):
        (metric,) = re.findall(r"campaign_\w+", row[0])
        assert metric in {family.name for family in FAMILIES}


def test_the_campaign_file_that_is_shown_can_be_loaded(tmp_path: Path) -> None:
    """The README's campaign file can be loaded, also with its commented-out keys."""
    text = max(fences("toml"), key=len)
    for name in ("email.html", "email.txt"):
        (tmp_path / name).write_text("{{ link }}", encoding="utf-8")
    (tmp_path / "campaign.toml").write_text(text, encoding="utf-8")
    definition = load_definition(tmp_path / "campaign.toml")
    assert definition.limits.messages
    assert definition.limits.domains
    required, _, signing = text.partition("# [dkim]")
    known = RecipientsSection.model_fields | AttachmentSection.model_fields | LimitsSection.model_fields
    for key in re.findall(r"^# (\w+) = ", required, re.MULTILINE):
        assert key in known
    shown = re.search(r"^# \[\[email\.attachments\]\].*?\n\n", text, re.MULTILINE | re.DOTALL)
    assert shown is not None
    attachment = re.sub("^# ", "", shown[0], flags=re.MULTILINE)
    (tmp_path / "campaign.toml").write_text(text.replace(shown[0], attachment), encoding="utf-8")
    (attached,) = load_definition(tmp_path / "campaign.toml").email.attachments
    assert attached.model_fields_set == AttachmentSection.model_fields.keys()
    section = signing.replace("\n# ", "\n")
    (tmp_path / "campaign.toml").write_text(f"{required}[dkim]{section}", encoding="utf-8")
    assert load_definition(tmp_path / "campaign.toml").dkim == DkimSection(selector="s1", domain="acme.example")


def test_the_campaign_in_steps_can_be_loaded(tmp_path: Path) -> None:
    """The README's campaign in steps can be loaded, and each step and language is what its comments say."""
    (text,) = (fence for fence in fences("toml") if "[[steps]]" in fence)
    for name in ("first.html", "second.html"):
        (tmp_path / name).write_text("{{ link }}", encoding="utf-8")
    (tmp_path / "campaign.toml").write_text(text, encoding="utf-8")
    definition = load_definition(tmp_path / "campaign.toml")
    assert (definition.step_names, definition.locale_names) == (("first", "second"), ("en", "de"))
    second = definition.variant("second", "de")
    assert (second.schedule.follows, second.email.subject) == ("first", "Noch bis morgen")
    assert second.unless == definition.variant("second").unless == ("link used", "active")
    assert second.email.sender == "Acme <hallo@acme.example>"


def test_the_exit_codes_are_told() -> None:
    """The README explains each exit code of the program."""
    (told,) = re.findall(r"^Exit codes: (.*)$", README, re.MULTILINE)
    assert re.findall(r"`(\d+)`", told) == ["0", "1", "2", "3", "75", "130"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", README))))
def test_every_link_into_the_repository_leads_somewhere(target: str) -> None:
    """Each relative link of the README leads to an existing file or folder."""
    assert (ROOT / target).exists()
