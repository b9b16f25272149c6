"""What all tests share: the hypothesis profiles, how many workers run them, and one PostgreSQL for all."""

from __future__ import annotations

import gc
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers.postgres import Postgres

# The processes that tests start use bytecode, as an installed program does: without it each start costs eight times as
# much CPU time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The folders of the tests are in memory if there is room: the tests flush thousands of small files, and a disk that
# others use, too, makes them wait.
_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it
_ROOM = 4 << 30
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

_UNIT_TESTS = Path(__file__).parent / "unit"

# Thousands of tests are collected, none of them is garbage, and each pass of the collector would look at all.
gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again when the tests begin."""
    gc.freeze()
    gc.enable()


# The examples of a property: few in the default suite, which must be quick; more in CI's second run, on the newest
# Python (`--hypothesis-profile many`); and for one file at a time, `--hypothesis-profile thorough`. In CI, hypothesis
# uses its own profile `ci`, with which each run has the same examples.
settings.register_profile("default", max_examples=20, deadline=None)
settings.register_profile("ci", settings.get_profile("ci"), max_examples=30)
settings.register_profile("many", settings.get_profile("ci"), max_examples=200)
settings.register_profile("thorough", max_examples=100_000, deadline=None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Let each worker load another share of the test files first, so that one compiles what all of them need.

    Each worker loads all files, and pytest rewrites the assertions of a file that has no bytecode: in a fresh clone
    that would be done in all workers at the same time.
    """
    if worker := getattr(session.config, "workerinput", None):
        number, workers = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        folders = [Path(argument.partition("::")[0]) for argument in session.config.args]
        files = sorted(file for folder in folders for file in folder.rglob("test_*.py"))
        for file in files[number::workers]:
            with suppress(pytest.Collector.CollectError):  # the collection says it
                pytest.Module.from_parent(session, path=file.resolve()).obj  # noqa: B018 - loads it


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Spread the tests that wait for servers and processes over all workers, among those that only compute.

    Each worker begins with a part of the list, one after the other; the tests of a file stay together.
    """
    if hasattr(config, "workerinput"):
        kinds: dict[str, dict[Path, list[pytest.Item]]] = {}
        for item in items:
            kind = item.path.relative_to(config.rootpath).parts[1]
            kinds.setdefault(kind, {}).setdefault(item.path, []).append(item)
        placed = [
            (number / len(files), tests)
            for files in kinds.values()
            for number, tests in enumerate(reversed(files.values()))
        ]
        items[:] = [item for _, tests in sorted(placed, key=lambda each: each[0]) for item in tests]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many run the tests: five for two cores, since most wait for their servers.

    Unit tests only compute, and each worker loads all files first; browsers and long plays compute a lot besides.
    """
    cores = os.cpu_count() or 1
    paths = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    if all(path.is_relative_to(_UNIT_TESTS) for path in paths):
        return max(1, cores * 3 // 2)
    return max(1, cores * 5 // 2) if "not long" in config.option.markexpr else 2 * cores


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Yield the PostgreSQL of this run of the tests; it starts when the first test needs it."""
    from support.made_once import common_folder  # noqa: PLC0415 - only where a test needs it
    from support.servers.postgres import shared_postgres  # noqa: PLC0415 - the same

    with shared_postgres(common_folder(tmp_path_factory)) as server:
        yield server
