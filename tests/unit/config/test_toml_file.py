"""Reading TOML: errors and entries are located by their lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from campaign.config.definition import load_definition
from campaign.config.definition.toml_file import line_of
from campaign.errors import DefinitionError


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b'name = "x"\nfoo\n', 2, "not TOML"),
        (b'name = "x"\n\n[email\n', 3, "not TOML"),
        (b'name = "x"\nname = "y"\n', 2, "not TOML"),
        (b'name = "x"\nsubject = """\nabc', 3, "not TOML"),
        (b'name = "x"\nsubject = "\xe9"\n', 2, "UTF-8"),
    ],
)
def test_a_file_that_is_no_toml_is_named_by_line(tmp_path: Path, content: bytes, line: int, words: str) -> None:
    """A syntax or encoding error is reported with file and line."""
    path = tmp_path / "campaign.toml"
    path.write_bytes(content)
    with pytest.raises(DefinitionError, match=rf"campaign\.toml:{line}: .*{words}"):
        load_definition(path)


def test_a_missing_file_is_told_with_what_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file is missing or is a folder, the error names a campaign file nearby."""
    folder = tmp_path
    (folder / "campaign.toml").write_text("[email]")
    (folder / "pyproject.toml").write_text("[project]")
    for path in (folder / "campain.toml", folder):
        with pytest.raises(
            DefinitionError, match=re.escape(f"did you mean {folder}/campaign.toml? Type: campaign check")
        ):
            load_definition(path)
    with pytest.raises(DefinitionError, match=r"campaign file does not exist; to write one .* campaign new NAME"):
        load_definition(folder / "none" / "campaign.toml")
    (folder / "home" / "templates").mkdir(parents=True)
    (folder / "campaign.toml").rename(folder / "home" / "templates" / "welcome.toml")
    monkeypatch.chdir(folder / "home")
    with pytest.raises(DefinitionError, match=r"did you mean templates/welcome\.toml\?"):
        load_definition(Path("templates/welcom.toml"))


def test_an_entry_is_found_however_it_is_written() -> None:
    """The line of a key is found below a header, as a dotted or quoted key, in inline and repeated tables."""
    text = '# x\na.b = 1\n["c".d]\n e = """\nf = 1\n"""\n"f g" = 2\n[h]\ni = { j = 1 }\n[[k]]\nl = 1\n[[k]]\nl = 2'
    expected = {"a.b": 2, "c.d": 3, "c.d.e": 4, "c.d.f g": 7, "c.d.f": 3, "h.i.j": 9, "k": 10, "m": None}
    text += "\n[[k.n]]\no = 1\n[[k.n]]\no = 2\n[k.p]\nq = 1"
    expected |= {"k.0": 10, "k.0.l": 11, "k.1.l": 13, "k.1.m": 12}
    expected |= {"k.1.n.0.o": 15, "k.1.n.1.o": 17, "k.1.p.q": 19, "k.1.n.2": 12}
    assert {name: line_of(text, name.split(".")) for name in expected} == expected
