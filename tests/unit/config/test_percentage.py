"""`[recipients] holdout`: a percentage in quotes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from campaign.config.definition.sections import RecipientsSection


def holdout(value: object) -> float | None:
    """Return the share that a section [recipients] with this value means."""
    return RecipientsSection.model_validate({"file": "x.csv", "holdout": value}, strict=False).holdout


@pytest.mark.parametrize(("written", "share"), [("10%", 10), (" 2.5 % ", 2.5), ("0.1%", 0.1), ("90%", 90)])
def test_a_share_is_a_percentage(written: str, share: float) -> None:
    """A percentage is read as it is written, with or without decimals."""
    assert holdout(written) == share


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("10", "such as"),
        (10, "such as"),
        (0.1, "such as"),
        ("10 percent", "such as"),
        ("-5%", "such as"),
        ("", "such as"),
        ("0%", "without it"),
        ("100%", "90%"),
        ("0.01%", "0.1%"),
    ],
)
def test_another_value_is_refused_with_an_example(written: object, words: str) -> None:
    """What is no percentage, or one that leaves nobody in one of the groups, is refused with what to write."""
    with pytest.raises(ValidationError) as refused:
        holdout(written)
    (fault,) = refused.value.errors()
    assert fault["loc"] == ("holdout",)
    assert words in fault["msg"]
