"""Bounces in mail servers' own formats, with and without the library that knows them."""

from __future__ import annotations

import sys

import pytest

from campaign.bounces.report import Kind
from campaign.bounces.reports import parse_report
from campaign.bounces.second_opinion import missing
from support.reports import MEANS, mail_named

OWN_FORMATS = ("exim-text", "exchange-2003", "qmail-unknown", "qmail-remote-refused", "yahoo-text")


def test_with_the_extra_nothing_is_missing() -> None:
    """With flufl.bounce installed there is nothing to hint at."""
    assert missing() is None


@pytest.mark.parametrize("name", sorted(MEANS))
def test_without_the_extra_they_are_not_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without flufl.bounce the servers' own formats are not understood, and all others are read as before."""
    before = parse_report(mail_named(name))
    monkeypatch.setitem(sys.modules, "flufl.bounce", None)
    expected = Kind.NOT_UNDERSTOOD if name in {*OWN_FORMATS, "qmail-remote-no-code"} else before.kind
    assert parse_report(mail_named(name)).kind is expected
    assert missing() == "Bounces in mail servers' own formats need flufl.bounce; type: pip install 'campaign[bounces]'"


def test_the_library_stumbles_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """A mail over which a detector stumbles is not understood, and its traceback is not logged."""
    report = parse_report(b"X-Failed-Recipients:\nSubject: Failure\n\nNothing known, and no sender\n")
    assert report.kind is Kind.NOT_UNDERSTOOD
    assert caplog.records == []
