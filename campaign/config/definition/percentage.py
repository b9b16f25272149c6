"""Read a percentage of a campaign file, such as `"10%"`: the type `Percentage`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_PERCENTAGE = re.compile(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*%\s*")
#: Whether a mail did anything shows only if there are enough of those who got it and of those who did not.
_LOWEST, _HIGHEST = 0.1, 90.0


def _percentage(value: object) -> object:
    """Return the number of hundredths that a text means; what is a number already stays.

    Raises:
        ValueError: it is not a percentage from 0.1 % to 90 %.
    """
    found = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a percentage in quotes, such as "10%"')
    number = float(found[1])
    if not _LOWEST <= number <= _HIGHEST:
        raise ValueError(f'must be from "{_LOWEST:g}%" to "{_HIGHEST:g}%"; without it all recipients are mailed')
    return number


#: A share in percent, from 0.1 to 90.
Percentage = Annotated[float, BeforeValidator(_percentage)]
