"""Loading and compiling templates, and the errors that this reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import pytest

from campaign.errors import TemplateError
from campaign.message import templates
from campaign.message.template_errors import explained
from campaign.message.template_folder import TemplateFolder
from campaign.message.template_names import Names

if TYPE_CHECKING:
    from pathlib import Path


def load(folder: Path, name: str = "a.html", *, autoescape: bool = True) -> TemplateFolder:
    """Load a template and everything that it includes, and return the folder."""
    found = TemplateFolder(folder)
    templates.load(templates.environment(found, autoescape=autoescape), found, name)
    return found


def rendered(folder: Path, name: str = "a.html", *, autoescape: bool = True, **variables: Any) -> str:  # noqa: ANN401 - cells
    """Return what a template renders."""
    env = templates.environment(TemplateFolder(folder), autoescape=autoescape)
    return templates.render(env.get_template(name), {**env.globals, **variables})


def fault(folder: Path, source: str, **variables: Any) -> str:  # noqa: ANN401 - cells and groups
    """Return the message of the error that rendering a template raises."""
    (folder / "a.html").write_text(source, "utf-8")
    try:
        rendered(folder, **variables)
    except Exception as error:  # noqa: BLE001 - any exception must be explained
        return str(explained(error, variables, "a.html")).removeprefix(f"{folder}/")
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("name", ["a.html", "a.txt", "a", "a.j2"])
def test_html_is_escaped_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    """The kind of part decides on escaping, not the file's extension, also for included templates."""
    (tmp_path / name).write_text("{{ x }}{% include 'part.txt' %}", "utf-8")
    (tmp_path / "part.txt").write_text("{{ x }}", "utf-8")
    assert rendered(tmp_path, name, x="<b>&") == "&lt;b&gt;&amp;" * 2
    assert rendered(tmp_path, name, autoescape=False, x="<b>&") == "<b>&" * 2


def test_a_byte_order_mark_is_no_part_of_a_template(tmp_path: Path) -> None:
    """A byte order mark at the start of a template is ignored."""
    (tmp_path / "a.html").write_bytes(b"\xef\xbb\xbfx")
    assert rendered(tmp_path) == "x"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("\n{{ x", "a.html:2: Unexpected end of template"),
        ("{% if x %}\n\n{% endfor %}", "a.html:3: Encountered unknown tag 'endfor'"),
        ("\n{{ x | upperr }}", "a.html:2: No filter named 'upperr'."),
        ("\n\n{% include 'prt.html' %}", "a.html:3: The template prt.html does not exist; did you mean part.html?"),
        ("{% include 'zzz.txt' %}", "a.html:1: The template zzz.txt does not exist; campaign looks for templates in"),
        ("{% include x %}", "a.html:1: Write the name of the other template as plain text"),
        ("{% include 'part.html' %}", "part.html:2: "),
        ("{% extends '../b.html' %}", "A template must be in the campaign's folder"),
        ("{% include 'link.html' %}", "A template must be in the campaign's folder"),
        ("{{ x | safe }}", "a.html:1: The filter safe would let data become markup; remove it."),
        ('<p title="\n{{ x | tojson }}">', "a.html:2: The filter tojson would break out of a quoted attribute"),
        ("{% autoescape false %}{{ x }}{% endautoescape %}", "a.html:1: Escaping cannot be turned off"),
    ],
)
def test_faults_that_loading_finds(tmp_path: Path, source: str, text: str) -> None:
    """An invalid template is reported before anything is rendered, with file, line and a message."""
    campaign = tmp_path / "campaign"
    campaign.mkdir()
    (tmp_path / "b.html").write_text("secret", "utf-8")
    (campaign / "link.html").symlink_to(tmp_path / "b.html")
    (campaign / "part.html").write_text("\n{% if %}", "utf-8")
    (campaign / "a.html").write_text(source, "utf-8")
    with pytest.raises(TemplateError) as caught:
        load(campaign)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "<style>\n@media print{#head{color:red}}</style>",
            "a.html:2: {# begins a comment here, and no #} ends it",
        ),
        (
            "\n{{#if vip}}x{{/if}}",
            "a.html:2: {{#if vip}} is Handlebars, and templates are Jinja: write",
        ),
        ("{{{name}}}", "a.html:1: {{{name}}} is Handlebars"),
        ("{{> footer}}", "a.html:1: {{> footer}} is Handlebars"),
        ("{% assign x = 1 %}", "a.html:1: {% assign x = 1 %} is Liquid, and templates are Jinja: write {% set"),
        (
            "{{ name | default: 'x' }}",
            "a.html:1: {{ name | default: 'x' }} is Liquid, and templates are Jinja",
        ),
        (
            "{% if x && y %}{% endif %}",
            "a.html:1: {% if x && y %} has an operator that Jinja does not know",
        ),
        ("{{ First Name }}", "a.html:1: {{ First Name }} has a blank in the name; a column such as First Name is"),
    ],
)
def test_another_language_is_named(tmp_path: Path, source: str, text: str) -> None:
    """What is CSS or another template language is named as such, with the line and what to write."""
    (tmp_path / "a.html").write_text(source, "utf-8")
    with pytest.raises(TemplateError) as caught:
        load(tmp_path)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(text)


def test_an_else_of_another_language_is_named(tmp_path: Path) -> None:
    """`{{else}}` is a variable for Jinja, and the error says what to write instead."""
    text = fault(tmp_path, "{% if x %}a{{else}}b{% endif %}", x="1")
    assert text.startswith("a.html:1: {{else}} is Handlebars")


@pytest.mark.parametrize("name", ["link", "first_name"])
def test_a_macro_that_is_imported_without_context_is_told_so(tmp_path: Path, name: str) -> None:
    """If an imported macro uses a variable, the error says to import it with its context; then it is known."""
    (tmp_path / "m.html").write_text(f"{{% macro button() %}}\n{{{{ {name} }}}}{{% endmacro %}}", "utf-8")
    source = "{% from 'm.html' import button CONTEXT %}{{ button() }}"
    values: dict[str, Any] = {name: "x"}
    text = fault(tmp_path, source.replace("CONTEXT", ""), **values)
    assert text.startswith(f"m.html:2: {name} is not known in a template that is imported without its context; write")
    (tmp_path / "a.html").write_text(source.replace("CONTEXT", "with context"), "utf-8")
    assert rendered(tmp_path, **values).strip() == "x"


def test_a_name_is_the_same_in_both_forms_of_unicode(tmp_path: Path) -> None:
    """`é` in a template finds the column, whether the editor wrote it as one character or as two."""
    decomposed = normalize("NFD", "{{ Prénom }} {{ row.Prénom }}")
    assert decomposed != normalize("NFC", decomposed)
    (tmp_path / "a.html").write_text(decomposed, "utf-8")
    assert rendered(tmp_path, Prénom="Zoë", row={"Prénom": "Ada"}) == "Zoë Ada"


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    """A missing template is reported, with the file whose name is nearest."""
    (tmp_path / "email.html").write_text("", "utf-8")
    with pytest.raises(TemplateError, match=r"emial\.html: This template does not exist; did you mean email\.html\?"):
        load(tmp_path, "emial.html")


def test_a_template_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """A template in Latin-1 is refused; its encoding is not guessed."""
    (tmp_path / "a.html").write_bytes("é".encode("latin-1"))
    with pytest.raises(TemplateError, match="is not UTF-8"):
        load(tmp_path)


def test_what_may_be_missing_may_be_missing(tmp_path: Path) -> None:
    """`ignore missing` is obeyed, and a constant may be marked safe."""
    (tmp_path / "a.html").write_text("{% include 'b.html' ignore missing %}{{ '&nbsp;' | safe }}", "utf-8")
    assert set(load(tmp_path).sources) == {"a.html"}
    assert rendered(tmp_path) == "&nbsp;"


def test_after_sealing_nothing_is_read(tmp_path: Path) -> None:
    """Each template is read once; a file that changes or appears later has no effect."""
    (tmp_path / "a.html").write_text("{{ x }}{% include 'b.html' ignore missing %}", "utf-8")
    folder = TemplateFolder(tmp_path)
    env = templates.environment(folder)
    templates.load(env, folder, "a.html")
    folder.seal()
    (tmp_path / "a.html").write_text("other", "utf-8")
    (tmp_path / "b.html").write_text("other", "utf-8")
    assert env.get_template("a.html").render(x="1") == "1"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "\n{{ frst_name }}",
            "a.html:2: The variable frst_name does not exist; did you mean first_name? The columns are",
        ),
        ("{{ zzz }}", "a.html:1: The variable zzz does not exist; the columns are first_name, items, place, qty."),
        ("{{ link }}", "a.html:1: link cannot be used here: it needs a [link] section"),
        ("{% for r in items %}\n{{ r.prce }}{% endfor %}", "a.html:2: There is no prce here; did you mean price?"),
        ("\n\n{{ place | number }}", "a.html:3: 'three' is not a plain number"),
        ("{{ 1 // 0 }}", "a.html:1: A number is divided by zero; test for it first, as in {% if qty | number > 0 %}."),
        ("{{ place.__class__ }}", "a.html:1: Access to attribute '__class__'"),
        ("{{ items.append(1) }}", "a.html:1: "),
        ("{{ range(10000000) }}", "a.html:1: Range too big."),
        ("{{ place.split(' ')[1] }}", "a.html:1: A value has fewer parts than this needs"),
        ("\n{{ place * first_name }}", "a.html:2: Values of a CSV are text; to calculate with one or compare it with"),
        ("{{ qty * 2 }}", "a.html:1: Values of a CSV are text"),
        ("{{ 2 * qty }}", "a.html:1: Values of a CSV are text"),
        ("{{ qty - 1 }}", "a.html:1: Values of a CSV are text"),
        ("{{ qty + 1 }}", "a.html:1: Values of a CSV are text"),
        ("{{ 1 + qty }}", "a.html:1: Values of a CSV are text"),
        ("{{ qty / 2 }}", "a.html:1: Values of a CSV are text"),
        ("{{ qty % 2 }}", "a.html:1: Values of a CSV are text"),
        ("{{ qty > 2 }}", "a.html:1: Values of a CSV are text"),
        ("{{ 2 <= qty }}", "a.html:1: Values of a CSV are text"),
        ("{{ -qty }}", "a.html:1: Values of a CSV are text"),
        ("{{ qty | round }}", "a.html:1: Values of a CSV are text"),
        ("{{ qty | abs }}", "a.html:1: Values of a CSV are text"),
        ("{{ '%.2f' | format(qty) }}", "a.html:1: Values of a CSV are text"),
        ("{{ '%d' % qty }}", "a.html:1: Values of a CSV are text"),
        ("{{ items | sum(attribute='price') }}", "a.html:1: Values of a CSV are text"),
        ("{% for i in range(qty) %}{% endfor %}", "a.html:1: Values of a CSV are text"),
    ],
)
def test_faults_that_rendering_finds(tmp_path: Path, source: str, text: str) -> None:
    """A row that cannot be rendered is reported with file, line and the names that exist."""
    assert text in fault(tmp_path, source, first_name="Ana", place="three", items=[{"price": "1"}], qty="3")


def test_a_fault_in_an_included_template_is_told_by_its_own_line(tmp_path: Path) -> None:
    """An error is located in the innermost included template, with its line."""
    (tmp_path / "part.html").write_text("\n\n{{ x.y }}", "utf-8")
    assert fault(tmp_path, "{% include 'part.html' %}", x=1).startswith("part.html:3: There is no y here")


def test_a_column_of_a_row_is_found_before_a_method(tmp_path: Path) -> None:
    """`row.items` is the column `items` if there is one; otherwise the attribute is looked up as usual."""
    (tmp_path / "a.html").write_text(
        "{% for r in rows %}{{ r.items }} {{ r.keys() | list | length }}{% endfor %}", "utf-8"
    )
    assert rendered(tmp_path, rows=[{"items": "7", "a": "b"}]) == "7 2"


def test_the_names_that_must_be_columns(tmp_path: Path) -> None:
    """Names that templates set, loop over or get from Jinja are not columns; each column's first use is recorded."""
    source = "{% set y = 1 %}\n{{ x }}{{ y }}{% for i in rows %}{{ i.z }}{{ loop.index }}{{ range(2) }}{% endfor %}"
    source += "{{ link }}"
    names = Names()
    names.add("a.html", templates.parse(templates.environment(), source, str(tmp_path)))
    assert names.outside(frozenset({"link"})) == {"x": "a.html:2", "rows": "a.html:2"}


def test_a_field_of_the_campaign_file_includes_nothing() -> None:
    """A subject cannot include other templates."""
    with pytest.raises(TemplateError, match=r"email\.subject: Another template cannot be used here"):
        templates.compile_source(templates.environment(), "{% include 'a' %}", "campaign.toml: email.subject")


@pytest.mark.parametrize(
    "name",
    [".env", "dkim.pem", "people.csv", "send-log.db", ".hidden/a.html", ".campaign/mail.txt", "key", "a.HTML/.x"],
)
@pytest.mark.parametrize("statement", ['{{% include "{}" %}}', '{{% import "{}" as x %}}', '{{% extends "{}" %}}'])
def test_a_template_uses_templates_and_no_other_file(tmp_path: Path, name: str, statement: str) -> None:
    """Settings, keys, recipients and logs that lie beside a template cannot be included, though the file is there."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("SECRET", "utf-8")
    (tmp_path / "a.html").write_text("\n" + statement.format(name), "utf-8")
    with pytest.raises(TemplateError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/a.html:2: A template cannot use '{name}'")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("name", ["part.html", "./part.txt", "parts/Part.HTML", "style.css", "part.j2"])
def test_a_template_uses_other_templates(tmp_path: Path, name: str) -> None:
    """Files with the endings of templates and style sheets can be included, in folders, too."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("part", "utf-8")
    (tmp_path / "a.html").write_text(f'{{% include "{name}" %}}', "utf-8")
    load(tmp_path)
    assert rendered(tmp_path) == "part"
