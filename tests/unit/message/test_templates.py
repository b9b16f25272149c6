"""What finding and compiling templates promises, and what its errors say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from campaign.errors import TemplateError
from campaign.message import templates
from campaign.message.template_errors import explained

if TYPE_CHECKING:
    from pathlib import Path


def load(folder: Path, name: str = "a.html", *, autoescape: bool = True) -> templates.TemplateFolder:
    """Load a template and all that it uses; return the folder."""
    found = templates.TemplateFolder(folder)
    templates.load(templates.environment(found, autoescape=autoescape), found, name)
    return found


def rendered(folder: Path, name: str = "a.html", *, autoescape: bool = True, **variables: Any) -> str:  # noqa: ANN401 - cells
    """Return what a template renders."""
    env = templates.environment(templates.TemplateFolder(folder), autoescape=autoescape)
    return templates.render(env.get_template(name), {**env.globals, **variables})


def fault(folder: Path, source: str, **variables: Any) -> str:  # noqa: ANN401 - cells and groups
    """Return the text of the error that a template ends with when it is rendered."""
    (folder / "a.html").write_text(source, "utf-8")
    try:
        rendered(folder, **variables)
    except Exception as error:  # noqa: BLE001 - any kind must be explained
        return str(explained(error, variables, "a.html")).removeprefix(f"{folder}/")
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("name", ["a.html", "a.txt", "a", "a.j2"])
def test_html_is_escaped_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    """The part decides on escaping, not the file's ending; what a template includes is escaped too."""
    (tmp_path / name).write_text("{{ x }}{% include 'part.txt' %}", "utf-8")
    (tmp_path / "part.txt").write_text("{{ x }}", "utf-8")
    assert rendered(tmp_path, name, x="<b>&") == "&lt;b&gt;&amp;" * 2
    assert rendered(tmp_path, name, autoescape=False, x="<b>&") == "<b>&" * 2


def test_a_byte_order_mark_is_no_part_of_a_template(tmp_path: Path) -> None:
    """A template that begins with a byte order mark renders without it."""
    (tmp_path / "a.html").write_bytes(b"\xef\xbb\xbfx")
    assert rendered(tmp_path) == "x"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("\n{{ x", "a.html:2: Unexpected end of template"),
        ("{% if x %}\n\n{% endfor %}", "a.html:3: Encountered unknown tag 'endfor'"),
        ("\n{{ x | upperr }}", "a.html:2: No filter named 'upperr'."),
        ("\n\n{% include 'prt.html' %}", "a.html:3: The template prt.html does not exist; did you mean part.html?"),
        ("{% include 'zzz' %}", "a.html:1: The template zzz does not exist; campaign looks for templates in"),
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
    """Before anything is rendered, a wrong template is told by file, line and a sentence."""
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


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    """A template that is not there is named, with the nearest file."""
    (tmp_path / "email.html").write_text("", "utf-8")
    with pytest.raises(TemplateError, match=r"emial\.html: This template does not exist; did you mean email\.html\?"):
        load(tmp_path, "emial.html")


def test_a_template_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """Latin-1 is told, not guessed."""
    (tmp_path / "a.html").write_bytes("é".encode("latin-1"))
    with pytest.raises(TemplateError, match="is not UTF-8"):
        load(tmp_path)


def test_what_may_be_missing_may_be_missing(tmp_path: Path) -> None:
    """`ignore missing` is obeyed, and a constant may be marked safe."""
    (tmp_path / "a.html").write_text("{% include 'b.html' ignore missing %}{{ '&nbsp;' | safe }}", "utf-8")
    assert set(load(tmp_path).sources) == {"a.html"}
    assert rendered(tmp_path) == "&nbsp;"


def test_after_sealing_nothing_is_read(tmp_path: Path) -> None:
    """A template is read once; a file that changes or appears later changes nothing."""
    (tmp_path / "a.html").write_text("{{ x }}{% include 'b.html' ignore missing %}", "utf-8")
    folder = templates.TemplateFolder(tmp_path)
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
        ("{{ zzz }}", "a.html:1: The variable zzz does not exist; the columns are first_name, items, place."),
        ("{{ link }}", "a.html:1: link cannot be used here: it needs a [link] section"),
        ("{% for r in items %}\n{{ r.prce }}{% endfor %}", "a.html:2: There is no prce here; did you mean price?"),
        ("\n\n{{ place | number }}", "a.html:3: 'three' is not a plain number"),
        ("{{ 1 // 0 }}", "a.html:1: Integer division or modulo by zero (ZeroDivisionError)."),
        ("{{ place.__class__ }}", "a.html:1: Access to attribute '__class__'"),
        ("{{ items.append(1) }}", "a.html:1: "),
        ("{{ range(10000000) }}", "a.html:1: Range too big."),
    ],
)
def test_faults_that_rendering_finds(tmp_path: Path, source: str, text: str) -> None:
    """A row that cannot be rendered is told by the template's file and line and what exists instead."""
    assert text in fault(tmp_path, source, first_name="Ana", place="three", items=[{"price": "1"}])


def test_a_fault_in_an_included_template_is_told_by_its_own_line(tmp_path: Path) -> None:
    """The innermost template and its line are named."""
    (tmp_path / "part.html").write_text("\n\n{{ x.y }}", "utf-8")
    assert fault(tmp_path, "{% include 'part.html' %}", x=1).startswith("part.html:3: There is no y here")


def test_a_column_of_a_row_is_found_before_a_method(tmp_path: Path) -> None:
    """`row.items` is the column of that name; what is no column is still looked for."""
    (tmp_path / "a.html").write_text(
        "{% for r in rows %}{{ r.items }} {{ r.keys() | list | length }}{% endfor %}", "utf-8"
    )
    assert rendered(tmp_path, rows=[{"items": "7", "a": "b"}]) == "7 2"


def test_the_names_that_must_be_columns(tmp_path: Path) -> None:
    """What the templates set, loop over or get from Jinja is no column; the first use of each column is named."""
    source = "{% set y = 1 %}\n{{ x }}{{ y }}{% for i in rows %}{{ i.z }}{{ loop.index }}{{ range(2) }}{% endfor %}"
    source += "{{ link }}"
    names = templates.Names()
    names.add("a.html", templates.parse(templates.environment(), source, str(tmp_path)))
    assert names.outside(frozenset({"link"})) == {"x": "a.html:2", "rows": "a.html:2"}


def test_a_field_of_the_campaign_file_includes_nothing() -> None:
    """A subject is one template and uses no other."""
    with pytest.raises(TemplateError, match=r"email\.subject: Another template cannot be used here"):
        templates.compile_source(templates.environment(), "{% include 'a' %}", "campaign.toml: email.subject")
