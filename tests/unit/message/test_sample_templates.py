"""The sample campaigns' own templates, as they are rendered for a recipient."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from campaign.config.definition import load_definition
from campaign.message import MessageTemplate
from campaign.message.dry_run import sample_message
from campaign.model import Recipient
from campaign.recipients import read_recipients
from support import ROOT


@pytest.mark.parametrize("name", sorted(file.parent.name for file in (ROOT / "templates").glob("*/campaign.toml")))
def test_the_preheader_is_hidden_by_its_size(name: str) -> None:
    """The preheader has no height and no colour of its own: spam filters count text in its background's colour."""
    definition = load_definition(Path(ROOT / "templates" / name / "campaign.toml"))
    section = definition.recipients
    recipient = next(row for row in read_recipients(section.file, section) if isinstance(row, Recipient))
    html = sample_message(MessageTemplate.load(definition), recipient, definition).html
    (style,) = re.findall(r'<div class="preheader"[^>]*style="([^"]*)"', html)
    declared = dict(re.findall(r"([a-z-]+)\s*:\s*([^;]+)", style))
    assert declared["max-height"] == "0"
    assert declared["overflow"] == "hidden"
    assert "color" not in declared
    assert ".preheader" not in html, "no rule for dark mode sets a colour"
