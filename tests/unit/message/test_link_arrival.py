"""The link in the rendered message: in an `href` or in text, with nothing behind it that would become part of it."""

from __future__ import annotations

import pytest

from campaign.message.link_arrival import misplaced

LINK = "https://acme.example/welcome?token=eyJ.abc"


@pytest.mark.parametrize(
    "html",
    [
        f'<a href="{LINK}">in</a>',
        f"<a href='{LINK}'>in</a>",
        f"<a href={LINK}>in</a>",
        f'<a class="b" href = "{LINK}" title="x">in</a>',
        f'<a href=" {LINK} ">in</a>',
        f'<a href="{LINK}&amp;utm_source=mail">in</a>',
        f'<a href="{LINK}#top">in</a>',
        f'<!--[if mso]><v:roundrect href="{LINK}" arcsize="8%"><![endif]-->',
        f"<p>{LINK}</p>",
        f"<p>Open {LINK}.</p>",
        f"<p>(see {LINK})</p>",
        f"<p>{LINK}&nbsp;</p>",
        f"<p>&lt;{LINK}&gt;</p>",
        f"<p>Is it {LINK}?</p>",
        f"<p>{LINK}\N{RIGHT DOUBLE QUOTATION MARK} \N{EM DASH}</p>",
        f"{LINK}",
    ],
)
def test_a_link_that_can_be_followed(html: str) -> None:
    """An `href` ends with the link, or goes on with another parameter or a fragment; text ends it with a stop."""
    assert misplaced(html, [LINK], html=True) is None


@pytest.mark.parametrize("behind", ["?utm_source=mail", "/x", ".html", "=1", ";a=1", "x", "%20", "-", "&", "amp;"])
def test_what_would_become_a_part_of_the_link(behind: str) -> None:
    """What stands directly behind a link would change its token or its address, in text and in an attribute."""
    wrong = misplaced(f'<a href="{LINK}">in</a><p>{LINK}{behind}b</p>', [LINK], html=False)
    assert wrong is not None
    assert wrong.startswith("is followed by")
    if behind != "&":
        wrong = misplaced(f'<a href="{LINK}">in</a><a href="{LINK}{behind}">in</a>', [LINK], html=True)
        assert wrong is not None
        assert wrong.endswith("which would become a part of the token")


@pytest.mark.parametrize(
    ("html", "place"),
    [
        (f'<img src="{LINK}">', "src of <img>"),
        (f'<img alt="{LINK}">', "alt of <img>"),
        (f'<a title="{LINK}" href="x">in</a>', "title of <a>"),
        (f'<link rel="stylesheet" href="{LINK}">', "href of <link>"),
        (f'<base href="{LINK}">', "href of <base>"),
        (f'<td background="{LINK}">', "background of <td>"),
    ],
)
def test_where_a_program_would_open_the_link(html: str, place: str) -> None:
    """A link in an attribute other than `href` is fetched or shown without a click."""
    wrong = misplaced(html, [LINK], html=True)
    assert wrong == f"stands in {place}, which mail programs open without a click"


def test_a_token_in_the_fragment_ends_with_it() -> None:
    """Behind a token in the fragment another `#` would become a part of it; a parameter would not."""
    link = "https://acme.example/welcome#token=eyJ.abc"
    for end in ("", "&amp;utm_source=mail"):
        assert misplaced(f'<a href="{link}{end}">in</a>', [link], html=True) is None
    wrong = misplaced(f'<a href="{link}#top">in</a>', [link], html=True)
    assert wrong == "is followed by '#top', which would become a part of the token"


def test_a_link_inside_another_address() -> None:
    """A link within another URL sends the token to its host."""
    assert misplaced(f'<a href="https://x.example/?u={LINK}">', [LINK], html=True) == "stands inside another address"
