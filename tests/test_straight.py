"""Templates of text and plain variables: filled without Jinja, they say what Jinja would make of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.message import bodies
from campaign.message.straight import Straight, plain, renderer
from campaign.message.templates import compile_source, environment, render

NAMES = ("first", "last", "items")
values = st.one_of(st.text(), st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.text(), max_size=2), max_size=2))
pieces = st.one_of(
    st.text(st.characters(exclude_characters="{}"), max_size=20),
    st.sampled_from([*(f"{{{{ {name} }}}}" for name in NAMES), "{{- first -}}", "{# no word #}", "\n", "\r\n"]),
)


@given(st.lists(pieces, max_size=8).map("".join), st.fixed_dictionaries(dict.fromkeys(NAMES, values)), st.booleans())
def test_the_words_are_those_of_jinja(source: str, variables: dict[str, object], escaped: bool) -> None:
    """Whatever the text and the values are, the outcome is the one that Jinja renders."""
    template = compile_source(environment(autoescape=escaped), source, "email.html")
    straight = renderer(template, source)
    assert isinstance(straight, Straight)
    assert straight(variables) == render(template, variables)
    assert type(straight(variables)) is str


@given(st.lists(pieces, max_size=8).map("".join), st.fixed_dictionaries(dict.fromkeys(NAMES, values)), st.booleans())
def test_the_octets_are_those_of_the_words(source: str, variables: dict[str, object], escaped: bool) -> None:
    """Octets are made of nothing but what the words would be encoded as, or not at all."""
    straight = renderer(compile_source(environment(autoescape=escaped), source, "email.html"), source)
    assert isinstance(straight, Straight)
    octets = straight.octets(variables, plain(variables, straight.names))
    if octets is not None:
        assert octets == bodies.eight_bit(bodies.with_newlines(straight(variables)))


@pytest.mark.parametrize(
    ("first", "simple"),
    [
        ("Zoë", True),
        ("O'Brien & <Sons>", True),
        (".", True),
        ("", True),
        ("é" * 493, True),
        ("é" * 494, False),
        ("two\nlines", False),
        ("one\rline", False),
        ("\0", False),
        ("\ud800", False),
        (["a", "list"], True),
    ],
)
def test_only_plain_values_are_put_between_octets(first: object, simple: bool) -> None:
    """A value that breaks lines, or might make one too long, is left to whoever looks at the whole text."""
    source = "<p>\n{{ first }}, hello</p>"
    straight = renderer(compile_source(environment(autoescape=True), source, "email.html"), source)
    assert isinstance(straight, Straight)
    octets = straight.octets({"first": first}, plain({"first": first}, ["first"]))
    assert (octets is not None) == simple
    assert octets in {None, bodies.eight_bit(straight({"first": first}))}


@pytest.mark.parametrize("text", ["\ra", "\0", "a" * 999])
def test_a_template_that_cannot_be_8bit_has_no_octets(text: str) -> None:
    """What the template itself holds is judged once."""
    straight = Straight([text, ""], [(1, "name")], str)
    assert straight.octets({"name": "Ada"}, {"name": b"Ada"}) is None


@pytest.mark.parametrize(
    "source",
    [
        "{{ first | upper }}",
        "{% if first %}x{% endif %}",
        "{% for row in items %}{{ row.a }}{% endfor %}",
        "{% set x = first %}{{ x }}",
        "{{ items[0] }}",
        "{{ items.a }}",
        "{{ first ~ last }}",
        "{{ self }}",
        "{{ 5 }}",
        "{% block body %}{{ first }}{% endblock %}",
        "{% filter upper %}{{ first }}{% endfilter %}",
    ],
)
def test_what_is_more_than_that_is_left_to_jinja(source: str) -> None:
    """A template that decides, computes or repeats anything is rendered by Jinja."""
    template = compile_source(environment(), source, "email.html")
    assert not isinstance(renderer(template, source), Straight)


def test_a_variable_that_is_missing_is_an_error() -> None:
    """Nothing is put in the place of a variable that is not there."""
    source = "Hello {{ nobody }}"
    with pytest.raises(KeyError, match="nobody"):
        renderer(compile_source(environment(), source, "email.html"), source)({"first": "Ada"})
