"""The sign-in link is an opaque value: templates print it whole, and anything else is an error with its line."""

from __future__ import annotations

import pytest

from campaign.errors import TemplateError
from campaign.message.link_use import check_link_use
from campaign.message.templates import environment

ENV = environment(autoescape=True)


def check(**sources: str) -> None:
    """Check templates by name."""
    check_link_use({name: ENV.parse(source) for name, source in sources.items()})


@pytest.mark.parametrize(
    "source",
    [
        "{{ link }}",
        '<a href="{{ link }}">{{ name | upper }}</a>',
        "{{ link_to('https://acme.example/cart') }}",
        "{{ link_to('https://acme.example/' ~ slug | lower) }}",
        "{{ link if vip else link_to('https://acme.example/') }}",
        "{% if link %}{{ link }}{% endif %}",
        "{% if link is defined and name %}{{ link }}{% endif %}",
        "{% set url = link %}{{ url }}",
        "{% set button %}<a href='{{ link }}'>in</a>{% endset %}{{ button }}",
        "{% macro button(url, label) %}<a href='{{ url }}'>{{ label|upper }}</a>{% endmacro %}{{ button(link, 'a') }}",
        "{% macro box() %}{{ caller() }}{% endmacro %}{% call box() %}{{ link }}{% endcall %}",
        # a parameter of the same name that never is the link
        "{% macro a(u) %}{{ u }}{% endmacro %}{% macro b(u) %}{{ u|upper }}{% endmacro %}{{ a(link) }}{{ b('x') }}",
        "{% for row in items %}{{ row.name | upper }} {{ link }}{% endfor %}",
        "{% filter upper %}{{ name }}{% endfilter %}{{ link }}",
    ],
)
def test_a_link_may_be_printed_handed_on_and_tested(source: str) -> None:
    """Printing, naming, passing to a macro and asking whether it is there leave the link as it is."""
    check(a=source)


@pytest.mark.parametrize(
    "expression",
    [
        "link|reverse",
        "link|upper",
        "link|e",
        "(link)|trim",
        "link[:5]",
        "link.upper()",
        "link ~ '?utm_source=mail'",
        "link + name",
        "'x' ~ link",
        "'%s' % link",
        "[link]|join",
        "link_to('https://acme.example/')|upper",
        "link_to('https://acme.example/')[3:]",
        "(link if vip else name)|lower",
        "name|default(link)",
        "{'a': link}['a']",
        "name in link",
        "link == name",
    ],
)
def test_a_link_may_not_be_altered(expression: str) -> None:
    """A filter, a slice, a concatenation or any other operation on the link is refused with its line."""
    with pytest.raises(TemplateError, match=r"^a:2: The sign-in link must be printed as it is: .* alter the token"):
        check(a="\n{{ " + expression + " }}")


@pytest.mark.parametrize(
    "source",
    [
        "{% for letter in link %}{{ letter }}{% endfor %}",
        "{% filter upper %}{{ link }}{% endfilter %}",
        "{% set url = link %}{{ url|reverse }}",
        "{% set url = link|lower %}{{ url }}",
        "{% set button %}{{ link }}{% endset %}{{ button|upper }}",
        "{% macro button(url) %}{{ url|upper }}{% endmacro %}{{ button(link) }}",
        "{% macro button(url) %}{{ url|upper }}{% endmacro %}{{ button(url=link) }}",
        "{% macro button() %}{{ link }}{% endmacro %}{{ button()|upper }}",
        "{% macro one(a) %}{{ two(a) }}{% endmacro %}{% macro two(b) %}{{ b[1:] }}{% endmacro %}{{ one(link) }}",
        "{% macro box() %}{{ caller()|upper }}{% endmacro %}{% call box() %}{{ link }}{% endcall %}",
        "{% block a %}{{ super()|upper }}{% endblock %}",
    ],
)
def test_a_link_is_followed_through_names_and_macros(source: str) -> None:
    """An alias, a block or a macro's parameter that holds the link may not be altered either."""
    with pytest.raises(TemplateError, match=r"^a:1: The sign-in link must be printed as it is"):
        check(a=source)


def test_a_link_is_followed_into_other_templates() -> None:
    """A macro of another template that alters its parameter is refused where it does so."""
    macros = "\n{% macro button(url) %}{{ url | upper }}{% endmacro %}"
    for use in ('{% from "m" import button as b %}{{ b(link) }}', '{% import "m" as m %}{{ m.button(link) }}'):
        with pytest.raises(TemplateError, match=r"^m:2: "):
            check(a=use, m=macros)
