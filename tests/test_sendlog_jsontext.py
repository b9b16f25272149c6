"""The send log's JSON: a row's text, and with it its digest, does not depend on which library is installed."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.model import Status
from campaign.sendlog import jsontext

if TYPE_CHECKING:
    from types import ModuleType

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
COLUMNS = st.dictionaries(TEXTS, TEXTS)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(0, 1e12, allow_subnormal=False)


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    """The module as it is where the extra is not installed."""
    spec = importlib.util.find_spec("campaign.sendlog.jsontext")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fast() -> ModuleType:
    pytest.importorskip("orjson", reason="the extra `fast` is not installed")
    return jsontext


@given(variables=COLUMNS | st.dictionaries(TEXTS, TEXTS | st.lists(COLUMNS)))
def test_variables_have_one_text(variables: dict[str, object], plain: ModuleType, fast: ModuleType) -> None:
    """Else a row would seem to have changed when the extra is installed between two runs."""
    text = plain.encoded(variables)
    assert fast.encoded(variables) == text
    assert fast.decoded(text) == plain.decoded(text) == variables


@given(rows=st.lists(st.tuples(NUMBERS, TEXTS, st.none(), st.sampled_from(Status), st.booleans())))
def test_rows_come_back_as_they_were(rows: list[tuple[object, ...]], plain: ModuleType, fast: ModuleType) -> None:
    """Numbers may be written in two ways; each is read as the same number."""
    same = [list(row) for row in rows]
    for written in (plain, fast):
        for read in (plain, fast):
            assert read.decoded(written.encoded(rows)) == same


def test_without_the_extra_it_is_the_standard_librarys(plain: ModuleType) -> None:
    """Nobody needs the extra."""
    assert plain.orjson is None
    assert plain.encoded({"a": "é", "b": [1, None]}) == '{"a":"é","b":[1,null]}'
