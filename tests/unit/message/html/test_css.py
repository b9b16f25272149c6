"""Inlining CSS: rules become style attributes, and nothing else in the document changes."""

from __future__ import annotations

import pytest

from campaign.errors import TemplateError
from campaign.message.html.css import inline_css

CSS = (
    "<style>p { color: red } .a { margin: 1px } td { padding: 2px } div { top: 0 } "
    "@media print { p { color: blue } }</style>"
)


def test_rules_become_style_attributes() -> None:
    """A rule becomes a style attribute; what only a `<style>` can express stays there."""
    html = inline_css(f"<html><head>{CSS}</head><body><p class='a'>x</p></body></html>")
    assert '<p class="a" style="color: red;margin: 1px;">x</p>' in html
    assert "@media print" in html
    assert ".a {" not in html


@pytest.mark.parametrize(
    "html",
    [
        "<p>x<br/>",
        "<!--[if mso]><style>p{}</style><![endif]--><P>",
        "<style>@media (max-width: 3px) { p { color: red } } @font-face { src: x }</style><P>x",
        "<style>/* p { color: red } */</style><P>x",
        "<style media='print'>p { color: red }</style><P>x",
        "<style media=print>p { color: red }</style><P>x",
        "<STYLE MEDIA='only screen and (max-width:480px)'>p { display: none }</STYLE><P>x",
    ],
)
def test_without_a_rule_to_inline_nothing_changes(html: str) -> None:
    """Without a `<style>` that has a rule to inline, outside of `@media` and for every screen, nothing changes."""
    assert inline_css(html) == html


@pytest.mark.parametrize("media", ["print", "only screen and (max-width:480px)", "(prefers-color-scheme: dark)"])
def test_a_style_for_some_screens_is_not_inlined(media: str) -> None:
    """A `<style>` with a media query stays unchanged, beside one that is inlined."""
    style = f'<style media="{media}">p {{ display: none }}</style>'
    html = inline_css(f"<html><head>{style}{CSS}</head><body><p>x</p></body></html>")
    assert style in html
    assert '<p style="color: red;">' in html


@pytest.mark.parametrize("media", ["", "all", "screen", "only  Screen"])
def test_a_style_for_every_screen_is_inlined(media: str) -> None:
    """A `<style>` whose media query holds on every screen is inlined."""
    assert '<p style="color: red;">x' in inline_css(
        f"<style type='text/css' media='{media}'>p {{ color: red }}</style><p>x"
    )


def test_the_document_type_and_conditional_comments_survive() -> None:
    """The document type and all conditional comments stay unchanged, with the rules that Outlook needs."""
    doctype = (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1.dtd">'
    )
    comment = '<!--[if mso]><v:rect href="x"><style>y</style><center class="a"><![endif]-->'
    shown = "<!--[if !mso]><!-- -->y<!--<![endif]--><![if !mso]>z<![endif]>"
    html = inline_css(f"{doctype}\n<html><head>{CSS}</head><body>{comment}<p>x</p>{shown}</body></html>")
    assert html.startswith(f"{doctype}\n<html>")
    assert comment in html
    assert shown in html
    assert ".a { margin: 1px }" in html


@pytest.mark.parametrize(
    ("comment", "kept"),
    [
        ("<!--[if mso]><xml><o:OfficeDocumentSettings></o:OfficeDocumentSettings></xml><![endif]-->", False),
        ("<!--[if mso]><style>p { top: 0 }</style><![endif]-->", False),
        ("<!--[if !mso]><!--><p>x</p><!--<![endif]-->", False),
        ("<!-- <table class='a'> -->", False),
        ("<!--[if mso]><table width='600'><tr><td><![endif]-->", False),
        ("<!--[if gte mso 9]><xml></xml>\n<table class='a'><tr><td><![endif]-->", True),
    ],
)
def test_the_rules_that_outlook_needs_stay(comment: str, *, kept: bool) -> None:
    """Inlined rules also stay in the `<style>` if an element in a conditional comment uses them."""
    assert (".a { margin: 1px }" in inline_css(f"{CSS}<body>{comment}<p class='a'>x")) is kept


def test_own_styles_win() -> None:
    """A style attribute of the template comes after the inlined rules, so that it wins."""
    assert '<p style="color: green">' in inline_css(f'{CSS}<p style="color: green">x')
    assert '<p style="color: red;top: 1px">' in inline_css(f'{CSS}<p style="top: 1px">x')


@pytest.mark.parametrize(
    ("selector", "body", "expected"),
    [
        ("td:empty", "<table><tr><td></td><td>x</td></tr></table>", '<td style="top: 9px;"></td><td>x</td>'),
        ("tr:last-child", "<table><tr></tr><tr></tr></table>", '<tr></tr><tr style="top: 9px;"></tr>'),
        ("li:first-child", "<ul><li>a</li><li>b</li></ul>", '<li style="top: 9px;">a</li><li>b</li>'),
        ("p + p", "<p>a</p><p>b</p>", '<p>a</p><p style="top: 9px;">b</p>'),
    ],
)
def test_selectors_by_position_see_the_rendered_document(selector: str, body: str, expected: str) -> None:
    """A selector by position is applied to the rendered elements."""
    assert expected in inline_css(f"<style>{selector} {{ top: 9px }}</style>{body}")


def test_css_that_cannot_be_read_is_an_error() -> None:
    """CSS that css-inline refuses is reported with its reason."""
    with pytest.raises(TemplateError, match=r"^The CSS cannot be inlined"):
        inline_css("<style>p { color: red }</style><p style='color'>x</p>")
