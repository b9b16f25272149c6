"""A template's mistake can neither fill the memory nor hold up the run: it is an error with the template's line."""

from __future__ import annotations

import pytest
from jinja2 import Environment

from campaign.errors import RowTooLargeError, TemplateError
from campaign.message import templates
from campaign.message.template_errors import explained

#: Each would take gigabytes, or years.
BOMBS = {
    "a repeated text": '{{ "a" * 10**9 }}',
    "a repeated list": "{{ [1] * 10**9 }}",
    "a power": "{{ 7 ** 100000000 }}",
    "loops that print": "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxxx{% endfor %}{% endfor %}",
    "loops that print nothing": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "loops in a block": (
        "{% set x %}{% for i in range(99999) %}{% for j in range(9) %}"
        + "x" * 99
        + "{% endfor %}{% endfor %}{% endset %}"
    ),
    "values in a block": '{% set x %}{% for i in range(99999) %}{{ "a" * 9999 }}{% endfor %}{% endset %}',
    "doubling by ~": '{% set n = namespace(s="a") %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}',
    "doubling by +": '{% set n = namespace(s="a") %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}',
    "doubling in a block": (
        '{% set n = namespace(s="a") %}{% for i in range(60) %}{% set b %}{{ n.s }}{{ n.s }}{% endset %}'
        "{% set n.s = b %}{% endfor %}"
    ),
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
    ),
    "a filter's width": '{{ "a" | center(1000000000) }}',
    "an indentation": '{{ "a\\nb" | indent(1000000000) }}',
    "a batch": '{{ [1] | batch(1000000000, "x") | list }}',
    "a precision": '{{ 1.5 | round(1000000000, "floor") }}',
    "a method's width": '{{ "a".ljust(1000000000) }}',
    "a format's width": '{{ "%1000000000d" % 1 }}',
    "a format filter's width": '{{ "%1000000000d" | format(1) }}',
    "a format method's width": '{{ "{:1000000000}".format(1) }}',
    "a replacement": '{{ ("a" * 9999) | replace("a", "b" * 9999) }}',
    "a replacing method": '{{ ("a" * 9999).replace("a", "b" * 9999) }}',
    "a separator": '{{ (["a"] * 9999) | join("b" * 9999) }}',
    "a joining method": '{{ ("b" * 9999).join(["a"] * 9999) }}',
    "a large value": "{% for i in range(20) %}{{ large }}{% endfor %}",
}


def error_of(source: str, *, autoescape: bool) -> TemplateError:
    """Return the error of a template."""
    env = templates.environment(autoescape=autoescape)
    template = templates.compile_source(env, source, "a.html")
    try:
        templates.render(template, {**env.globals, "large": "x" * 1_000_000})
    except Exception as error:  # noqa: BLE001 - any exception must be explained
        return explained(error, {}, "a.html")
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("autoescape", [True, False])
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_stopped_at_its_line(bomb: str, autoescape: bool) -> None:
    """A template that would make too large a text, or work without end, is stopped, and its line is named."""
    error = error_of(f"one\n{BOMBS[bomb]}\n", autoescape=autoescape)
    assert isinstance(error, RowTooLargeError)
    assert str(error).startswith("a.html:2: ")


def test_a_large_group_is_no_bomb() -> None:
    """A mail of some megabytes, with ten thousand rows in a loop, is rendered."""
    env = templates.environment(autoescape=True)
    source = '{% for row in rows %}<tr><td>{{ loop.index }} {{ row.name ~ "!" }}</td></tr>{% endfor %}'
    template = templates.compile_source(env, source, "a.html")
    rows = [{"name": "n" * 200}] * 10_000
    assert len(templates.render(template, {**env.globals, "rows": rows})) > 2_000_000


@pytest.mark.parametrize("autoescape", [True, False])
@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ a ~ b ~ 1 }}", "<A>&B1"),
        ("{{ '<b>' ~ a }}", "<b><A>"),
        ("{% for n in [3, 4] %}{{ loop.index }}/{{ loop.length }}{{ ',' if not loop.last }}{% endfor %}", "1/2,2/2"),
        ("{% for n in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for k, v in {'x': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "x1"),
        (
            "{% for n in [1, [2]] recursive %}{{ loop(n) if n is iterable else n }}{% endfor %}",
            "12",
        ),
        ("{{ '-' * 3 }}{{ 2 * 3 }}{{ 2 ** 3 }}{{ 7 % 4 }}{{ '%s%%' % 5 }}{{ [1] + [2] }}", "---6835%[1, 2]"),
        ("{{ ['a', 'b'] | join('-') }}{{ 'aXb'.replace('X', '-') }}{{ 'a' | center(3) }}.", "a-ba-b a ."),
        ("{% macro m(x) %}<{{ x }}>{{ caller() }}{% endmacro %}{% call m('y') %}z{% endcall %}", "<y>z"),
    ],
)
def test_the_limit_changes_no_result(source: str, text: str, autoescape: bool) -> None:
    """Loops, operators, filters and macros give what they give in Jinja alone; only data is escaped."""
    env = templates.environment(autoescape=autoescape)
    template = templates.compile_source(env, source, "a.html")
    done = templates.render(template, {**env.globals, "a": "<A>", "b": "&B"})
    plain = Environment(autoescape=autoescape).from_string(source).render(a="<A>", b="&B")  # noqa: S701 - the text parts
    assert done == plain
    assert autoescape or done == text
