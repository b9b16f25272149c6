"""The corpus: common forms of templates arrive as their authors meant them, as HTML and as text.

Each folder of `corpus/` has an `email.html`, the files that it uses, and an `expected.toml`:

- `text`: the text part.
- `html`: pieces of the HTML.
- `seen`, `outlook`: the words that a reader sees in a mail program, and in Outlook for Windows. Without `seen` they are
  the words of the text.
- `[row]`: the row's values.
- `[style]`: for an element's text some of its declarations, which every mail program applies because they are inlined.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from campaign.message.renderer import LinkData, Renderer
from support.reader import seen_by_outlook, styles_of, words_seen

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.message.renderer import Rendered

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(folder.name for folder in CORPUS.iterdir())
LINK = SimpleNamespace(
    url="https://acme.example/in", parameter="token", hosts=("acme.example",), hint=False, renew=False
)
#: The address of a link or an image, which stands behind its label.
ADDRESS = re.compile(r" <https?://[^>]*>")


def case(name: str) -> tuple[Rendered, dict[str, Any]]:
    """Return what a case renders, and what is expected of it."""
    folder = CORPUS / name
    expected = tomllib.loads((folder / "expected.toml").read_text("utf-8"))
    uses_link = any("{{ link }}" in path.read_text("utf-8") for path in folder.glob("*.html"))
    email = SimpleNamespace(sender="a@acme.example", reply_to=None, subject="s", html=folder / "email.html", text=None)
    definition = SimpleNamespace(
        path=folder / "campaign.toml",
        name="x",
        mailing_list="x",
        email=email,
        link=LINK if uses_link else None,
        unsubscribe=None,
    )
    renderer = Renderer(cast("Definition", definition))
    return renderer.render(expected.get("row", {}), LinkData("TOKEN-abc" if uses_link else None)), expected


def words(text: str) -> list[str]:
    """Return the words of a text part, without bullets, numbers of lists and addresses."""
    return re.sub(r"^ *(?:•|[0-9]+\.) ", "", ADDRESS.sub("", text), flags=re.MULTILINE).split()


@pytest.mark.parametrize("name", CASES)
def test_the_text_part_reads_well(name: str) -> None:
    """The text part is the one that is expected, line for line."""
    made, expected = case(name)
    assert made.text == expected["text"]


@pytest.mark.parametrize("name", CASES)
def test_a_reader_sees_what_was_meant(name: str) -> None:
    """A mail program and Outlook show the expected words in their order, and styles are inlined."""
    made, expected = case(name)
    for piece in expected.get("html", []):
        assert piece in made.html
    seen = expected["seen"].split() if "seen" in expected else words(expected["text"])
    assert [word for word in words_seen(made.html) if not word.startswith("<http")] == seen
    if "outlook" in expected:
        shown = words_seen(seen_by_outlook(made.html))
        assert [word for word in shown if not word.startswith("<http")] == expected["outlook"].split()
    for text, declarations in expected.get("style", {}).items():
        found = styles_of(made.html, text)
        assert any(declarations.items() <= style.items() for style in found), (text, found)
