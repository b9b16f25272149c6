"""Check the names in a campaign file: columns (`header`, `variable`), steps (`step_name`), locales (`locale_name`)."""

from __future__ import annotations

import re

#: Letters, digits and _ only, so that a name can be told from a duration: `first - 1h`.
_STEP = re.compile(r"[A-Za-z]\w{0,63}", re.ASCII)
#: A language tag (RFC 5646 §2.1) by its shape: a language, then further parts.
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,4}", re.ASCII)


def header(text: str, *, example: str) -> str:
    """Return the name of a column as the header of the CSV has it.

    Raises:
        ValueError: the text is empty or not printable.
    """
    if not text.strip() or not text.isprintable():
        raise ValueError(f'must be the name of a column, such as "{example}"')
    return text.strip()


def variable(text: str, *, example: str) -> str:
    """Return the name of a column as templates use it.

    Raises:
        ValueError: the text is no such name.
    """
    if not text.strip().isidentifier():
        raise ValueError(f'must be the name of a column as templates write it, such as "{example}"')
    return text.strip()


def step_name(text: str) -> str:
    """Return the name of a step.

    Raises:
        ValueError: the text is not 1 to 64 ASCII letters, digits and _, beginning with a letter.
    """
    if not _STEP.fullmatch(text):
        raise ValueError('must be 1 to 64 letters, digits or _, beginning with a letter, such as "first"')
    return text


def locale_name(text: str) -> str:
    """Return the name of a locale.

    Raises:
        ValueError: the text does not look like a language tag.
    """
    if not _LOCALE.fullmatch(text):
        raise ValueError(f'{text!r} is not a language; write one like "de" or "pt-BR"')
    return text


def plain_locale(text: str) -> str:
    """Return a locale as it is compared: `pt_BR` and `pt-br` are the same."""
    return text.strip().replace("_", "-").lower()
