"""Architecture rules, checked in the source: which module imports which, and what may happen in one place only."""

from __future__ import annotations

import ast
import graphlib
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

from support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKAGE = ROOT / "campaign"
MOST_LINES = 300
#: Statements without statements below them, which are most of all.
_SIMPLE = (ast.Expr, ast.Assign, ast.AnnAssign, ast.Return, ast.Import, ast.ImportFrom, ast.Assert, ast.arguments)
#: Modules that start servers, or the program as a process.
STARTING = tuple(
    f"support.{name}" for name in ("servers", "environment", "fork_server", "workspace", "smtp_transactions", "crash")
)


@dataclass(frozen=True)
class Import:
    """One imported name of an import statement."""

    #: The module; for the program's own modules down to the file, such as `campaign.smtp.pool`.
    module: str
    #: Whether it runs when the file is loaded: not inside a function or for type checkers only.
    at_once: bool


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def sources() -> list[Path]:
    """Return the source files of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def shown(path: Path) -> str:
    """Return a path as the rules in this file write it, such as `smtp/pool.py`."""
    return path.relative_to(PACKAGE).as_posix()


def module_of(path: Path) -> str:
    """Return the module name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Return what a file imports, wherever the statement stands."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[Import]:
    for node, at_once in _statements(tree(path), at_once=True):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(name.name, at_once)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for name in node.names:
                full = f"{node.module}.{name.name}"
                below = ROOT / full.replace(".", "/")
                is_module = below.with_suffix(".py").is_file() or (below / "__init__.py").is_file()
                yield Import(full if is_module else str(node.module), at_once)


def _statements(node: ast.AST, *, at_once: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield each statement below a node, and whether it runs when the file is loaded; expressions contain none."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        )
        if isinstance(child, ast.stmt):
            yield child, at_once
        if not isinstance(child, _SIMPLE):
            yield from _statements(child, at_once=at_once and not later)


@cache
def calls(path: Path) -> tuple[str, ...]:
    """Return the dotted name of every call in a file, such as `asyncio.sleep`."""
    return tuple(ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def house() -> list[list[str]]:
    """Return the files and folders in the README's map, row by row."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## The map of the code\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section is not None, "README.md has a section `## The map of the code`"
    cells = [line.split("|")[1] for line in section[1].splitlines() if line.startswith("|")]
    return [found for cell in cells if (found := re.findall(r"`(\w+)(?:\.py|/)?`", cell))]


def place(module: str) -> str:
    """Return the file or folder of the map that contains a module."""
    return module.split(".")[1] if "." in module else "__init__"


def test_the_map_names_every_file_once() -> None:
    """The README's map names every file and folder of the package exactly once, and nothing else."""
    there = {place(module_of(path)) for path in sources()} - {"__init__", "__main__"}
    named = [name for row in house() for name in row]
    assert sorted(there - set(named)) == [], "not in the README's map"
    assert sorted(set(named) - there) == [], "in the README's map, and not there"
    assert len(named) == len(set(named))


def test_a_file_imports_only_from_above_it() -> None:
    """A file imports at load time only from files in earlier rows of the README's map."""
    rows = [*house(), ["__main__"]]
    order = {name: number for number, row in enumerate(rows) for name in row}
    wrong = [
        f"{shown(path)} imports {one.module}"
        for path in sources()
        if place(module_of(path)) in order
        for one in imports(path)
        if one.at_once and one.module.startswith("campaign.")
        if order.get(place(one.module), -1) > order[place(module_of(path))]
    ]
    assert wrong == []


def test_no_imports_run_in_a_circle() -> None:
    """There are no import cycles, also counting type imports and imports inside functions."""
    graph = {
        module_of(path): {one.module for one in imports(path) if one.module.startswith("campaign.")}
        for path in sources()
    }
    for module, used in graph.items():
        used.discard(module)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_parts_of_a_folder_import_one_way() -> None:
    """Within each folder its files and subfolders have no import cycles."""
    for folder in sorted({path.parent for path in sources() if path.parent != PACKAGE}):
        prefix = module_of(folder / "__init__.py") + "."
        graph: dict[str, set[str]] = {}
        for path in folder.rglob("*.py"):
            part = module_of(path).removeprefix(prefix).split(".")[0]
            if path.parent == folder and path.name == "__init__.py":
                continue
            used = {one.module.removeprefix(prefix).split(".")[0] for one in imports(path) if prefix in one.module}
            graph.setdefault(part, set()).update(used - {part})
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            pytest.fail(f"{shown(folder)}: {' -> '.join(error.args[1])}")


def test_the_sandbox_shares_nothing_with_the_rest() -> None:
    """The sandbox imports nothing of the program, so that the two cannot share a bug."""
    wrong = [
        f"{shown(path)} imports {one.module}"
        for path in (PACKAGE / "sandbox").rglob("*.py")
        for one in imports(path)
        if one.module.split(".")[0] == "campaign" and not one.module.startswith("campaign.sandbox")
    ]
    assert wrong == []


def test_the_reader_of_reports_cannot_act() -> None:
    """What reads bounces knows no send log and no service, so a forged report changes nothing before it is judged."""
    known = {"bounces", "clock", "config", "errors", "model", "words"}
    wrong = [
        f"{shown(path)} imports {one.module}"
        for path in (PACKAGE / "bounces").rglob("*.py")
        for one in imports(path)
        if one.module.split(".")[0] == "campaign" and place(one.module) not in known
    ]
    assert wrong == []


def outside(*allowed: str) -> list[Path]:
    """Return the files that are neither allowed themselves nor in an allowed folder."""
    return [path for path in sources() if not shown(path).startswith(allowed)]


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("aiosmtplib", ("smtp/connector.py", "smtp/connect_errors.py", "smtp/login.py")),
        ("aiohappyeyeballs", ("smtp/dialing.py",)),
        ("httpx", ("clerk/", "compliance/online/web.py", "site/")),
        ("dns", ("compliance/online/lookup.py",)),
        ("sqlite3", ("sendlog/sqlite/", "sandbox/", "recipients/grouping.py")),
        ("psycopg", ("sendlog/postgres/",)),
        ("click", ("cli/",)),
        ("rich", ("reporting/",)),
        ("jinja2", ("message/", "reporting/report/", "sandbox/")),
        ("cryptography", ("message/dkim/", "sandbox/")),
        ("csv", ("recipients/", "reporting/log_export.py")),
        ("imaplib", ("bounces/imap.py",)),
        ("flufl", ("bounces/second_opinion.py",)),
        ("prometheus_client", ("watching/exposition.py",)),
        ("dotenv", ()),
        ("requests", ()),
        ("smtplib", ()),
    ],
)
def test_a_library_ends_where_it_is_translated(library: str, allowed: tuple[str, ...]) -> None:
    """Each third-party library is imported only in the files that wrap it."""
    wrong = [
        f"{shown(path)} imports {one.module}"
        for path in outside(*allowed)
        for one in imports(path)
        if one.module.split(".")[0] == library
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("what", "is_it", "allowed"),
    [
        ("prints", lambda call: call in {"print", "click.echo", "click.secho"}, ("cli/", "sandbox/ship_clerk_js.py")),
        ("sleeps", lambda call: call in {"asyncio.sleep", "time.sleep"}, ("clock.py", "sandbox/")),
        (
            "tells the time",
            lambda call: call in {"time.time", "time.monotonic", "datetime.now", "datetime.utcnow"},
            ("clock.py", "sandbox/"),
        ),
        (
            "starts a task",
            lambda call: call.endswith((".create_task", ".ensure_future", ".TaskGroup")),
            (
                "delivery/pipeline.py",
                "delivery/scheduler.py",
                "delivery/worker_rates.py",
                "watching/engine.py",
                "smtp/pool.py",
                "clock.py",
                "sandbox/",
            ),
        ),
        (
            "catches signals",
            lambda call: "signal_handler" in call or call == "signal.signal",
            ("delivery/signals.py", "cli/interruption.py", "sandbox/"),
        ),
        ("reads the environment", lambda call: call in {"os.getenv", "os.environ.get"}, ("config/settings.py",)),
    ],
)
def test_some_things_happen_in_one_place(what: str, is_it: Callable[[str], bool], allowed: tuple[str, ...]) -> None:
    """Printing, sleeping, reading the clock, tasks, signals and the environment are each used in one place only."""
    wrong = [f"{shown(path)} {what}: {call}" for path in outside(*allowed) for call in calls(path) if is_it(call)]
    assert wrong == []


def test_each_file_is_short_and_says_what_it_contains() -> None:
    """Every file has fewer than 300 lines and starts with a docstring that says what it contains."""
    said = {path: (ast.get_docstring(tree(path)) or "").partition("\n")[0] for path in sources()}
    assert [shown(path) for path, first in said.items() if not first.endswith((".", "?", ":"))] == []
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {shown(path): lines for path, lines in lengths.items() if lines >= MOST_LINES} == {}


def test_every_error_stands_in_the_tree_that_is_drawn() -> None:
    """Each class in errors.py is named in the tree of its docstring, ends in Error, and has a docstring."""
    path = PACKAGE / "errors.py"
    drawn = set(re.findall(r"\w+Error\b", ast.get_docstring(tree(path)) or ""))
    classes = {node.name: node for node in tree(path).body if isinstance(node, ast.ClassDef)}
    errors = {name: node for name, node in classes.items() if any("Error" in ast.unparse(base) for base in node.bases)}
    errors |= {name: node for name, node in classes.items() if "Exception" in map(ast.unparse, node.bases)}
    assert drawn == set(errors)
    assert all(name.endswith("Error") and ast.get_docstring(node) for name, node in errors.items())


def test_all_sql_stands_in_files_of_its_own() -> None:
    """All statements of the send log are in .sql files."""
    words = re.compile(
        r"^\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER)\b.*\b(FROM|INTO|SET|TABLE|INDEX)\b", re.DOTALL
    )
    wrong = [
        f"{shown(path)}:{node.lineno}: {node.value}"
        for path in outside("sandbox/", "recipients/grouping.py", "sendlog/sqlite/files.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and words.match(node.value)
    ]
    assert wrong == []


def all_tests() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Yield each test of the suite."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node, _ in _statements(tree(path), at_once=True):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield path, node  # type: ignore[misc]


def test_every_test_states_a_promise() -> None:
    """Each test's docstring is one paragraph that ends with a full stop."""
    wrong = []
    for path, node in all_tests():
        said = ast.get_docstring(node) or ""
        if not said or "\n\n" in said or not said.endswith("."):
            wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {said!r}")
    assert wrong == []


def test_no_test_mocks() -> None:
    """The suite uses real servers, real processes and its own fakes, and no mocking library."""
    imported = re.compile(r"^\s*(?:from|import)\s+((?:unittest|mock|pytest_mock|respx)\b.*)", re.MULTILINE)
    wrong = [
        f"{path.relative_to(ROOT)} imports {found}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for found in imported.findall(path.read_text(encoding="utf-8"))
    ]
    assert wrong == []


def test_unit_tests_mirror_the_code_and_open_no_connection() -> None:
    """Each folder of tests/unit matches one of the package, and its tests start no server and no process."""
    unit = ROOT / "tests/unit"
    for path in unit.rglob("test_*.py"):
        assert (PACKAGE / path.parent.relative_to(unit)).is_dir(), path
        started = [one.module for one in imports(path) if one.module.startswith(STARTING)]
        assert started == [], path


def test_few_modules_stand_beside_the_folders() -> None:
    """At most six files are directly in the package, not counting the two with dunder names."""
    assert len([path for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")]) <= 6


def test_no_constructor_takes_more_than_eight_parameters() -> None:
    """No constructor takes more than eight parameters besides `self`."""
    wrong = []
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if len(taken) > 9:
                    wrong.append(f"{shown(path)}:{node.lineno} takes {len(taken) - 1}")
    assert wrong == []


def test_no_two_classes_share_a_name() -> None:
    """A class's name stands for one thing in the whole package."""
    places: dict[str, list[str]] = {}
    for path in sources():
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(shown(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
