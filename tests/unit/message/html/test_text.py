"""The plain text that is derived from HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.message.html.text import text_of

FILLING = "&zwnj;&#847;&nbsp;" * 20


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", "\n"),
        ("<p>a</p><p>b</p>", "a\n\nb\n"),
        ("<p>Hi Ada,<br>we <b>let</b> you in</p>", "Hi Ada,\nwe let you in\n"),
        ('<a href="https://x.example/?a=1&amp;b=2">Go</a> now', "Go <https://x.example/?a=1&b=2> now\n"),
        ('<a href="https://x.example">https://x.example</a>', "https://x.example\n"),
        ('<a href="mailto:a@x.example">a@x.example</a>', "a@x.example\n"),
        ("<a name=x>a</a>", "a\n"),
        ('<a href="https://x.example"><img src="b.png" alt="Go"></a>', "Go <https://x.example>\n"),
        ('<a href="https://x.example"><img src="b.png"></a>', "<https://x.example>\n"),
        ('a <img src="b.png" alt="">b', "a b\n"),
        ("<ul><li>a</li><li>b</li></ul>", "  • a\n  • b\n"),
        ("<ol><li>a</li><li>b</li></ol>", "  1. a\n  2. b\n"),
        ("<table><tr><td>a</td><td>bb</td></tr><tr><td>aaaa</td><td>b</td></tr></table>", "a  bb\naaaa  b\n"),
        ("<table><tr><td>&nbsp;</td><td>a</td></tr></table>", "a\n"),
        ("<table><caption>c</caption><tr><td>a</td></tr></table>", "c\na\n"),
        ("<head><title>t</title><style>p{}</style></head><body><script>x</script>a", "a\n"),
        ("b<!-- c --><!--[if mso]>d<![endif]-->", "b\n"),
        ("<!--[if !mso]><!-- -->b<!--<![endif]--><![if !mso]>c<![endif]>", "bc\n"),
        ("a<br>b &lt;c&gt; &amp;", "a\nb <c> &\n"),
        ("<center>a</center><center>b</center>", "a\nb\n"),
        ("<section>a</section><section>b</section>", "a\nb\n"),
        ("<fieldset>a</fieldset><div>b</div>", "a\nb\n"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "a\nb\n"),
        ("<pre>  a\n    b</pre>", "  a\n    b\n"),
        ("a\ud800b", "a?b\n"),
    ],
)
def test_the_text_of_html(html: str, text: str) -> None:
    """Paragraphs, links, images, lists, tables and preformatted text become readable plain text."""
    assert text_of(html) == text


@pytest.mark.parametrize(
    "hidden",
    [
        f'<div style="display:none">preview{FILLING}</div>',
        f'<div style="display: none !important;">preview{FILLING}</div>',
        f'<div style="max-height:0;overflow:hidden">preview{FILLING}</div>',
        f'<span style="visibility:hidden; mso-hide:all">preview{FILLING}</span>',
        f'<div style="font-size:1px;line-height:1px;max-height:0px;opacity:0">preview{FILLING}</div>',
        f'<div style="height:0;width:0;overflow:hidden">preview{FILLING}</div>',
        f'<div style="font-size:0">preview{FILLING}</div>',
        "<div hidden>preview</div>",
        '<div style="display:none"><div style="display:none">preview</div></div>',
    ],
)
def test_a_hidden_preheader_is_not_in_the_text(hidden: str) -> None:
    """A hidden preheader is left out of the text, whichever usual way of hiding it is used."""
    assert text_of(f"<body>{hidden}<p>Hello</p>") == "Hello\n"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://x.example/a">One</a><a href="https://x.example/b">Two</a>', "One <{0}a> Two <{0}b>"),
        ('<a href="https://x.example/a">One</a>, two', "One <{0}a>, two"),
        ('<a href="https://x.example/a">One</a>two', "One <{0}a> two"),
    ],
)
def test_an_address_is_apart_from_the_next_word(html: str, text: str) -> None:
    """A word directly behind a link is not a part of its address; punctuation stays where it is."""
    assert text_of(html) == text.format("https://x.example/") + "\n"


def test_a_legend_has_a_line_of_its_own() -> None:
    """A fieldset's legend is not glued to its content."""
    assert text_of("<fieldset><legend>Legend</legend>In a field</fieldset>") == "Legend\nIn a field\n"


def test_the_filling_of_a_visible_preheader_is_not_in_the_text() -> None:
    """Invisible filler after a visible preheader is removed, and an emoji keeps its joiners."""
    assert text_of(f"<div>preview{FILLING}</div><p>Hello \U0001f469\u200d\U0001f4bb</p>") == (
        "preview\n\nHello \U0001f469\u200d\U0001f4bb\n"
    )


@pytest.mark.parametrize(
    "html",
    [
        '<div style="font-size:0"><div style="font-size:13px">shown</div></div>',
        '<td style="font-size:0;line-height:0"><p style="font-size: 16px">shown</p></td>',
        '<div style="max-height:0.5em">shown</div>',
        '<div style="opacity:0.9">shown</div>',
        '<div style="line-height:0;height:10px;overflow:hidden">shown</div>',
        '<div style="min-width:0;overflow:hidden">shown</div>',
    ],
)
def test_layout_is_not_taken_for_hiding(html: str) -> None:
    """A container whose children set their own size counts as visible, and so does small text."""
    assert text_of(html) == "shown\n"


def test_a_long_link_stays_on_one_line() -> None:
    """A link with a token of 900 characters is not broken."""
    link = "https://acme.example/?token=" + "a.b-" * 225
    assert f"Go <{link}>" in text_of(f'<table><tr><td><p>x <a href="{link}">Go</a></p></td><td>y</td></tr></table>')


@given(
    st.lists(
        st.sampled_from(["<", ">", "a", " ", "<p>", "</p>", "<td>", "<div hidden>", "<a href='x'>", "</a>", "\0", "&"])
        | st.sampled_from(["<div style='display:none'>", "</div>", "<table>", "<!--", "-->", "<svg>", "<template>"])
        | st.text(max_size=3)
    ).map("".join)
)
def test_any_html_has_a_text(html: str) -> None:
    """Any HTML can be converted, and the resulting text is tidy."""
    text = text_of(html)
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    assert all(line == line.rstrip(" \t\u00a0") for line in text.split("\n"))
