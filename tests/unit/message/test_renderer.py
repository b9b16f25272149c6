"""The renderer: the right words, the link in both bodies, and errors with the line of the file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from campaign.errors import TemplateError
from campaign.message.renderer import LinkData, Renderer

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.config.definition import Definition

STYLE = "<style>p { color: red } .hidden { display: none }</style>"


def wording(
    folder: Path, html: str, text: str | None = None, *, subject: str = "Hi", link: str | None = "", renew: bool = False
) -> Renderer:
    """Return the renderer of a campaign with these templates; `link` is the path of its URL."""
    (folder / "email.html").write_text(html, "utf-8")
    if text is not None:
        (folder / "email.txt").write_text(text, "utf-8")
    section = SimpleNamespace(
        url=f"https://acme.example/{link}", parameter="token", hosts=("acme.example",), hint=False, renew=renew
    )
    email = SimpleNamespace(
        sender="hello@acme.example",
        reply_to=None,
        subject=subject,
        html=folder / "email.html",
        text=None if text is None else folder / "email.txt",
    )
    made = SimpleNamespace(
        path=folder / "campaign.toml",
        name="x",
        email=email,
        unsubscribe=None,
        mailing_list="x",
        link=None if link is None else section,
    )
    return Renderer(cast("Definition", made))


def fault(folder: Path, html: str, text: str | None = None, **changes: Any) -> str:  # noqa: ANN401 - as in `wording`
    """Return the message of the error that loading or rendering raises."""
    with pytest.raises(TemplateError) as caught:
        wording(folder, html, text, **changes).render({"name": "Ana"}, LinkData("secret"))
    assert "secret" not in str(caught.value)
    return str(caught.value).removeprefix(f"{folder}/")


def test_html_text_subject_and_links(tmp_path: Path) -> None:
    """HTML is escaped, text and subject are not, and the links with the token are returned."""
    words = wording(
        tmp_path,
        '<p>{{ name }}</p><a href="{{ link }}">in</a><a href="{{ link_to(\'https://acme.example/c?a=1\') }}">cart</a>',
        "{{ name }} {{ link }} {{ link_to('https://acme.example/c?a=1') }}",
        subject="{{ name }}!",
        link="in/{{ name }}",
    ).render({"name": "A & B"}, LinkData("T"))
    assert words.subject == "A & B!"
    assert words.text == "A & B https://acme.example/in/A%20%26%20B?token=T https://acme.example/c?a=1&token=T"
    assert words.html.startswith("<p>A &amp; B</p>")
    assert words.links == (
        "https://acme.example/in/A%20%26%20B?token=T",
        "https://acme.example/c?a=1&token=T",
    )
    assert 'href="https://acme.example/c?a=1&amp;token=T"' in words.html


def test_without_a_link_section_no_token_is_needed(tmp_path: Path) -> None:
    """A campaign without links renders without a token and returns no links; `link` may be a column's name."""
    words = wording(tmp_path, "<p>{{ link }}</p>", "x", link=None).render({"link": "column"}, LinkData(None))
    assert words.html == "<p>column</p>"
    assert words.links == ()


@pytest.mark.parametrize(
    "html",
    [
        "<p>{{ name }}</p><a href='{{ link }}'>in</a>",
        "{% for n in [1] %}<a href='{{ link }}'>{{ name }}</a>{% endfor %}",
    ],
)
def test_the_text_is_derived_with_its_link(tmp_path: Path, html: str) -> None:
    """Without a text template the text is derived from the HTML, with the link, and contains no HTML escapes."""
    words = wording(tmp_path, STYLE + html + "<p class='hidden'>preview</p>").render({"name": "<A> & B"}, LinkData("T"))
    assert "<A> & B" in words.text
    assert "<https://acme.example/?token=T>" in words.text
    assert "preview" not in words.text
    assert "&lt;A&gt; &amp; B" in words.html


def test_the_text_of_a_template_with_includes_is_derived_too(tmp_path: Path) -> None:
    """The derived text has the words of the rendered HTML, also if the template includes other files."""
    (tmp_path / "part.html").write_text("<b>{{ name }}</b>", "utf-8")
    words = wording(tmp_path, "<p>{% include 'part.html' %}</p><a href='{{ link }}'>in</a>").render(
        {"name": "<A>"}, LinkData("T")
    )
    assert words.text == "<A>\n\nin <https://acme.example/?token=T>\n"


def test_css_is_inlined_in_the_layout_that_a_template_extends(tmp_path: Path) -> None:
    """If the `<style>` is in the layout that a template extends, it is inlined too."""
    (tmp_path / "base.html").write_text(
        f"<html>{STYLE}<body><p>{{% block a %}}{{% endblock %}}</p></body></html>", "utf-8"
    )
    words = wording(tmp_path, "{% extends 'base.html' %}{% block a %}<a href='{{ link }}'>in</a>{% endblock %}")
    html = words.render({}, LinkData("T")).html
    assert '<p style="color: red;"><a href=' in html


@pytest.mark.parametrize(
    ("html", "text", "message"),
    [
        ("<p>\n{{ nme }} {{ link }}", None, "email.html:2: The variable nme does not exist; did you mean name?"),
        (f"{STYLE}\n\n<p>\n{{{{ nme }}}} {{{{ link }}}}</p>", None, "email.html:4: The variable nme does not exist"),
        ("{{ link }}", "\n{{ nme }}{{ link }}", "email.txt:2: The variable nme does not exist"),
        ("<p>", "{{ link }}", "email.html: The sign-in link is missing: put {{ link }} where people should click"),
        ("{{ link }}", "x", "email.txt: The sign-in link is missing"),
        (
            "{{ link | upper }}",
            "{{ link }}",
            "email.html:1: The sign-in link must be printed as it is: the filter upper would",
        ),
        ("<!-- {{ link }} -->", "{{ link }}", "email.html: The HTML does not contain the sign-in link unchanged."),
        (
            "{{ link }}",
            "{{ link | truncate(20) }}",
            "email.txt:1: The sign-in link must be printed as it is: the filter truncate",
        ),
        (
            "{% if name == 'Bo' %}{{ link }}{% endif %}",
            "{{ link }}",
            "email.html: The HTML does not contain the sign-in link",
        ),
        (
            "<!--[if mso]><a href='{{ link }}'>in</a><![endif]-->",
            None,
            "email.html: The HTML does not contain the sign-in link unchanged.",
        ),
        (
            "<title>{{ link }}</title><p>in",
            None,
            "email.html: The text part does not contain the sign-in link unchanged",
        ),
        (
            "\n{{ link_to('https://evil.example/') }}",
            "{{ link }}",
            "email.html:2: The link 'https://evil.example/' leads to",
        ),
        ("\n{{ link_to(name) }}", "{{ link }}", "email.html:2: The link 'Ana' does not begin with https://"),
        ("\n{{ link_to('//evil.example') }}", "{{ link }}", "email.html:2: The path '//evil.example' could lead to"),
        ("\n{{ link_to('/\\\\evil.example') }}", "{{ link }}", "email.html:2: The path "),
        ("\n{{ link_to('javascript:x') }}", "{{ link }}", "email.html:2: The link 'javascript:x' does not begin"),
        ("\n{{ link_to('/' ~ '/' ~ name) }}", "{{ link }}", "email.html:2: The path '//Ana' could lead to"),
        ("{{ link }}", "\n\n{{ link_to('/%09/' ~ name) }}", "email.txt:3: The path '/%09/Ana' could lead to"),
        (
            "{{ link }}{{ link | number }}",
            "{{ link }}",
            "email.html:1: The sign-in link must be printed as it is: the filter number would alter the token",
        ),
    ],
)
def test_faults_are_told_by_file_and_line(tmp_path: Path, html: str, text: str | None, message: str) -> None:
    """Every error names file and line as written, also if CSS was inlined, and contains no token."""
    assert fault(tmp_path, html, text).startswith(message)


def test_faults_of_subject_and_url(tmp_path: Path) -> None:
    """An error in a template of the campaign file names its field."""
    html = "{{ link }}"
    assert fault(tmp_path, html, html, subject="{{ nme }}").startswith(
        "campaign.toml: email.subject: The variable nme does not exist"
    )
    assert fault(tmp_path, html, html, subject="{{ x").startswith("campaign.toml: email.subject: Unexpected end")
    assert fault(tmp_path, html, html, subject="{{ link }}") == (
        "campaign.toml: email.subject: The subject must not contain a sign-in link; remove it."
    )
    assert fault(tmp_path, html, html, link="{{ nme }}").startswith(
        "campaign.toml: link.url: The variable nme does not exist"
    )
    assert "it needs a [link] section" in fault(tmp_path, html, html, link=None)


def test_a_template_outside_the_folder_is_refused(tmp_path: Path) -> None:
    """A template outside of the campaign file's folder is refused."""
    campaign = tmp_path / "campaign"
    campaign.mkdir()
    (tmp_path / "other.txt").write_text("{{ link }}", "utf-8")
    assert "must be in the campaign's folder" in fault(campaign, "{{ link }}{% include '../other.txt' %}")


def test_the_columns_that_the_templates_use(tmp_path: Path) -> None:
    """The renderer returns all columns that the templates use, and where each is first used."""
    words = wording(tmp_path, "\n{{ a }}{{ link }}", "{{ b }}{{ link }}", subject="{{ c }}{{ a }}", link="{{ d }}")
    assert {name: where.rpartition("/")[2] for name, where in words.variables_used().items()} == {
        "a": "email.html:2",
        "b": "email.txt:1",
        "c": "campaign.toml: email.subject",
        "d": "campaign.toml: link.url",
    }


@pytest.mark.parametrize(
    "html",
    [
        '<a href="{{ link }}">in</a><img src="https://elsewhere.example/p?u={{ link }}">',
        '<a href="{{ link }}">in</a><a href="https://elsewhere.example/{{ link }}">in</a>',
        '<a href="{{ link }}">in</a><a href="https://elsewhere.example/?u={{ link | urlencode }}">in</a>',
        '<a href="{{ link }}">in</a><p>{{ link | replace("acme", "elsewhere") }}</p>',
        "<a href=\"{{ link }}\">in</a><p>{{ link.split('token=')[1] }}</p>",
    ],
)
def test_the_token_stands_in_links_of_its_own_only(tmp_path: Path, html: str) -> None:
    """A template that puts the token into another URL, or anywhere but into its links, is refused."""
    assert "there alone" in fault(tmp_path, html, "{{ link }}")


@pytest.mark.parametrize("around", ["<{}>", "({})", "here: {}", "\n{}\n", "[1] {}", "{} and {}", '"{}"', "{}\t{}"])
def test_a_link_may_stand_in_any_company(tmp_path: Path, around: str) -> None:
    """Brackets, quotes and words next to the link leave it unchanged."""
    text = around.format("{{ link }}", "{{ link_to('https://acme.example/cart') }}")
    words = wording(tmp_path, '<a href="{{ link }}">in</a> {{ link }}', text).render({}, LinkData("secret"))
    assert words.text.count("token=secret") == text.count("{{")


def test_links_to_paths_are_sign_in_links(tmp_path: Path) -> None:
    """A survey whose answers are `link_to` with a path needs no other link; each arrives whole, in text and markup."""
    html = """{% for n in "123" %}<a href="{{ link_to('/survey?answer=' ~ n) }}">{{ n }}</a>{% endfor %}"""
    html += "<p>{{ link_to('/survey?answer=4') }}</p>"
    words = wording(tmp_path, html, "{{ link_to('/survey?answer=1') }} or {{ link }}", link="in/{{ name }}")
    found = words.render({"name": "Ana"}, LinkData("T"))
    url = "https://acme.example/in/Ana?next=%2Fsurvey%3Fanswer%3D{}&token=T"
    assert found.links == tuple(url.format(n) for n in "1234")
    assert found.made_links == found.links
    assert found.text == f"{url.format(1)} or https://acme.example/in/Ana?token=T"


def test_the_plain_link_in_the_text_counts_for_a_path_in_the_html(tmp_path: Path) -> None:
    """HTML with `link_to` only and text with `{{ link }}` only both have a sign-in link."""
    html = """<a href="{{ link_to('/cart') }}">cart</a>"""
    assert wording(tmp_path, html, "{{ link }}").render({}, LinkData("T")).text == "https://acme.example/?token=T"
    assert "text part does not contain" in fault(tmp_path, html, "{% if false %}{{ link }}{% endif %}none")


def test_a_message_whose_link_can_be_renewed_needs_its_tag(tmp_path: Path) -> None:
    """With `renew` the tag stands in `link` and in `link_to`; a message without one is not made."""
    html = """<a href="{{ link }}">in</a><a href="{{ link_to('/cart') }}">cart</a>"""
    words = wording(tmp_path, html, renew=True)
    links = words.render({}, LinkData("secret", renewal="TAG")).links
    assert [link.partition("?")[2] for link in links] == [
        "token=secret&renew=TAG",
        "next=%2Fcart&token=secret&renew=TAG",
    ]
    with pytest.raises(ValueError, match="every message needs a tag"):
        words.render({}, LinkData("secret"))
