"""What a rendered message has that readers do not see as it was meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.compliance.flaws import flaws_of, width


def said(html: str, text: str = "") -> list[str]:
    """Return the texts of the flaws."""
    return sorted(flaw.text for flaw in flaws_of(html, text))


@pytest.mark.parametrize(
    "html",
    [
        "<p>Hello</p>",
        '<img src="https://acme.example/a.png" alt="A">',
        '<img src="cid:logo" alt="">',
        '<a href="https://acme.example/http://x">x</a>',
        '<a href="mailto:a@acme.example">x</a><a href="tel:1">x</a><a href="#top">x</a><a href="/relative">x</a>',
        "<style>@media (max-width: 480px) { p { position: absolute; display: flex } }</style>",
        "<style>@supports (display: grid) { div { display: grid } }</style>",
        "<style>/* position: absolute */ p { color: red }</style>",
        '<p style="background-position: 0; background-attachment: fixed; transform: none">x</p>',
        '<p style="max-width: 600px; border-radius: 6px; color: #fff">variable(x), recalc(1)</p>',
        "<!--[if mso]><v:rect/><![endif]--><td style=\"background-image: url('https://acme.example/b.png')\">x</td>",
        '<html xmlns:v="urn:schemas-microsoft-com:vml"><p title="http://acme.example">x</p></html>',
        "<!-- <img src='http://acme.example/a.png'> -->",
    ],
)
def test_what_mail_programs_show(html: str) -> None:
    """What mail programs show, or drop without harm, is no flaw."""
    assert said(html) == []


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ('<img src="https://acme.example/a.png">', "has no alt"),
        ('<IMG SRC="https://acme.example/a.png" title="alt">', "has no alt"),
        ('<a href="http://acme.example/x?token=secret">x</a>', "http://acme.example is not https"),
        ('<a href=" HTTP://user:pass@acme.example">x</a>', "http://acme.example is not https"),
        ('<img alt="" src="http://cdn.acme.example/a.png">', "http://cdn.acme.example is not https"),
        ('<table background="http://acme.example/b.png"></table>', "http://acme.example is not https"),
        ('<a href="ftp://acme.example/x">x</a>', "ftp://acme.example is not https"),
        ('<a href="javascript:alert(1)">x</a>', "javascript: is not https"),
        ('<p style="POSITION : Absolute">x</p>', "position: absolute, fixed or sticky is dropped by Gmail"),
        ('<p style="color:red;display:flex">x</p>', "display: flex is dropped by Outlook on Windows"),
        ('<p style="display:inline-grid">x</p>', "display: grid is dropped by Outlook on Windows"),
        ("<p style=\"background: #fff url('https://acme.example/b.png')\">x</p>", "a background image is dropped"),
        ('<p style="color:var(--x)">x</p>', "var() is dropped"),
        ('<p style="width:calc(100% - 2px)">x</p>', "calc() is dropped"),
        ('<p style="transform:rotate(1deg)">x</p>', "transform is dropped"),
        ('<p style="aspect-ratio:1">x</p>', "aspect-ratio is dropped"),
        ('<p style="clip-path:circle()">x</p>', "clip-path is dropped"),
        ('<p style="inset:0">x</p>', "inset is dropped"),
        ("<style>a:hover { position: fixed }</style>", "position: absolute, fixed or sticky is dropped"),
        ("<style>@import url(https://acme.example/a.css);</style>", "@import is dropped"),
        ('<link rel="StyleSheet" href="https://acme.example/a.css">', "<link rel=stylesheet> is dropped"),
        ("<svg></svg>", "<svg> is dropped"),
        ('<video src="https://acme.example/v.mp4"></video>', "<video> is dropped"),
        ('<object data="https://acme.example/o"></object>', "<object> is dropped"),
        ('<form action="https://acme.example/f"></form>', "<form> is dropped"),
        (f"<style>@media print {{ {'p{color:red}' * 1500} }}</style>", "Gmail reads no more"),
    ],
)
def test_what_readers_do_not_see(html: str, words: str) -> None:
    """Each flaw is found once, however it is written, and names no more of an address than its host."""
    (text,) = said(html * 2)
    assert words in text
    assert "secret" not in text
    assert "pass" not in text


def test_addresses_in_the_text_part() -> None:
    """An address of the text part that is not https is a flaw, too, and the same one as in the HTML."""
    html = '<a href="http://acme.example/a">x</a>'
    assert said("<p>x</p>", "See http://acme.example/b.") == said(html) == said(html, "http://acme.example/b")
    assert said("<p>x</p>", "See https://acme.example/b.") == []


@pytest.mark.parametrize(
    ("subject", "columns"), [("", 0), ("Hello", 5), ("こんにちは", 10), ("e\u0301", 1), ("🎉", 2), ("a\u200bb", 2)]
)
def test_the_width_of_a_subject(subject: str, columns: int) -> None:
    """A wide letter counts as two columns, a mark on another letter as none."""
    assert width(subject) == columns


@given(st.text(alphabet=st.sampled_from("<>&;:/'\"= \n!-aimghrefstylk{}@url()http:") | st.characters(), max_size=200))
def test_any_document_is_examined(html: str) -> None:
    """Any text is examined without an error, whatever it holds."""
    flaws_of(html, html)
    flaws_of(f"<style>{html}</style><a href='{html}'>x</a>", html)
