"""The folder that `campaign new` writes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from campaign.cli.new import new
from campaign.config.definition import load_definition
from campaign.errors import CannotStartError
from campaign.samples import SAMPLES, write_sample
from support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2031, 10, 3, 11, 20, tzinfo=UTC)
EVERY = pytest.mark.parametrize("like", SAMPLES)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, in their order."""
    return sorted(path.name for path in folder.iterdir())


def test_the_command_takes_each_sample() -> None:
    """`--like` takes exactly the samples that there are, and each of them has a folder of `templates/`."""
    (option,) = (param for param in new.params if param.name == "like")
    assert list(option.type.choices) == list(SAMPLES)  # type: ignore[attr-defined]
    folders = {path.parent.name for path in (ROOT / "templates").glob("*/campaign.toml")}
    assert {sample.folder for sample in SAMPLES.values()} == folders


@EVERY
def test_a_folder_stands_alone(tmp_path: Path, like: str) -> None:
    """The campaign has the folder's name, its files are all in the folder, and the CSV is for its owner alone."""
    sample, folder = SAMPLES[like], tmp_path / "my.first-try_1"
    files = write_sample(folder, sample, now=NOW)
    assert names_in(tmp_path) == ["my.first-try_1"]
    assert sorted(files) == names_in(folder)
    definition = load_definition(folder / files[0])
    assert definition.name == "my.first-try_1"
    assert definition.recipients.file == folder / files[-1]
    assert {part.email.html.parent for part in definition.variants} == {folder}
    assert (folder / files[-1]).stat().st_mode & 0o777 == 0o600
    assert "2026" not in (folder / files[-1]).read_text("utf-8")
    text = (folder / files[0]).read_text("utf-8")
    assert f"#   campaign run {folder / files[0]} {sample.options}".rstrip() + "\n#   campaign sandbox\nname" in text
    assert "--at" not in text
    assert "2026" not in text


@EVERY
def test_each_key_is_explained(like: str) -> None:
    """Each key of a sample has a comment, its section has one, or its value says it: senders, subject and files."""
    text = (ROOT / "templates" / SAMPLES[like].folder / "campaign.toml").read_text("utf-8")
    silent = {"from", "reply_to", "subject", "html", "connections", "name", "text", "due", "until", '"gmail.com"'}
    for key, rest in re.findall(r"(?m)^([\w\"][\w.\"]*) = (.*)$", text):
        assert key in silent or " # " in rest, f"{key} = {rest}"


@pytest.mark.parametrize("there", ["folder", "empty", "file", "dangling"])
def test_what_exists_is_left_alone(tmp_path: Path, there: str) -> None:
    """Where something of the name exists, nothing is written: not into a folder, and not in place of a file or link."""
    place = tmp_path / "carts"
    if there in {"folder", "empty"}:
        place.mkdir()
    if there == "folder":
        (place / "campaign.toml").write_text("mine")
    if there == "file":
        place.write_text("mine")
    if there == "dangling":
        place.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CannotStartError, match=r"carts exists and was not changed; name another folder"):
        write_sample(place, SAMPLES["cart"], now=NOW)
    assert sorted(tmp_path.rglob("*")) == before
    if there == "folder":
        assert (place / "campaign.toml").read_text() == "mine"


@pytest.mark.parametrize("name", ["früh", "a b", ".hidden", "x" * 101, 'a"b', "a\nb"])
def test_a_name_that_no_campaign_can_have_is_refused(tmp_path: Path, name: str) -> None:
    """A folder whose name cannot be the campaign's is refused with what a name may have, and nothing is written."""
    with pytest.raises(CannotStartError, match=r"the folder's name becomes the campaign's, and .* ASCII letters"):
        write_sample(tmp_path / name, SAMPLES["cart"], now=NOW)
    assert names_in(tmp_path) == []


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    """A missing folder above, and a file in its place, are sentences, and leave nothing behind."""
    with pytest.raises(CannotStartError, match=r"the folder .*nowhere does not exist; create it"):
        write_sample(tmp_path / "nowhere" / "carts", SAMPLES["cart"], now=NOW)
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStartError, match=r"file does not exist; create it|cannot be written"):
        write_sample(tmp_path / "file" / "carts", SAMPLES["cart"], now=NOW)
    assert names_in(tmp_path) == ["file"]


def test_a_strange_path_stays_in_its_comment(tmp_path: Path) -> None:
    """A line break in the path above the folder cannot add a line to the campaign file."""
    above = tmp_path / 'a\nname = "evil"'
    above.mkdir()
    write_sample(above / "carts", SAMPLES["cart"], now=NOW)
    assert load_definition(above / "carts" / "campaign.toml").name == "carts"
