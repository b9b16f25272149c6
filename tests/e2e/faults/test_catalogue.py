"""The catalogue of faults is complete: each test that it names exists, and each fault test is named in it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from support import TESTS
from support.crash import checker
from support.faults.catalogue import CATALOGUE, INVARIANTS

ROWS = [(area, row) for area, rows in CATALOGUE.items() for row in rows]
#: Folders whose tests run the program as a process.
WHOLE = "e2e/"


@cache
def functions(file: str) -> dict[str, ast.FunctionDef]:
    """Return the functions of a file below `tests/` by name; empty if the file does not exist."""
    path = TESTS / file
    if not path.is_file():
        return {}
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def found(node_id: str) -> ast.FunctionDef | None:
    """Return the function `file::function`, or None."""
    file, _, name = node_id.partition("::")
    return functions(file).get(name)


def is_long(test: ast.FunctionDef) -> bool:
    """Return whether no variant of a test is in the default suite."""
    return any(ast.unparse(decorator) == "pytest.mark.long" for decorator in test.decorator_list)


def test_every_test_that_is_named_exists() -> None:
    """Each test that a row names exists and is a test."""
    named = {test for _, row in ROWS for test in row.tests}
    assert sorted(test for test in named if found(test) is None or "::test_" not in test) == []


def test_every_test_of_a_fault_is_named_by_a_row() -> None:
    """Each test in this folder is named by a row of the catalogue."""
    named = {test for _, row in ROWS for test in row.tests}
    played = {
        f"e2e/faults/{path.name}::{name}"
        for path in Path(__file__).parent.glob("test_*.py")
        if path != Path(__file__)
        for name in functions(f"e2e/faults/{path.name}")
        if name.startswith("test_")
    }
    assert sorted(played - named) == []


def test_every_row_is_played() -> None:
    """Each row has a test in the default suite, and one with the whole program unless it gives a reason."""
    for area, row in ROWS:
        tests = [test for name in row.tests if (test := found(name)) is not None]
        assert not all(is_long(test) for test in tests), f"{area}: {row.fault}"
        whole = [name for name in row.tests if name.startswith(WHOLE)]
        assert whole or row.reason, f"{area}: {row.fault}"


def test_no_row_stands_there_twice() -> None:
    """Each fault has only one row."""
    assert len({row.fault for _, row in ROWS}) == len(ROWS)


def test_every_invariant_has_its_proof() -> None:
    """The invariants are those of the checker, each with the function that checks it."""
    assert {f"I{number}" for number in range(1, 17)} == set(INVARIANTS)
    for name, (_, proof) in INVARIANTS.items():
        assert found(f"support/crash/{proof}") is not None, proof
        assert proof.partition("::")[2] == checker.INVARIANTS[name].__name__
