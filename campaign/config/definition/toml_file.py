"""Read a TOML file and turn validation errors into sentences with line numbers: `read_toml` and `problems_of`."""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Any

from campaign.errors import DefinitionError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

_TYPES = {
    "string_type": 'must be text in quotes, such as "…"',
    "int_type": "must be a whole number without quotes",
    "bool_type": "must be true or false, without quotes",
    "list_type": "must be a list",
    "time_delta_type": 'must be a duration in quotes, such as "48h"',
    "path_type": 'must be a path in quotes, such as "…"',
    "is_instance_of": 'must be a path in quotes, such as "…"',
    "literal_error": "can only be {expected}; otherwise leave it out",
    "model_type": "must be a section, written [{key}]",
    "dict_type": "must be a section, written [{key}]",
}
_ENTRY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_TRIPLE = re.compile(r'"""|' + r"'''")
_POSITION = re.compile(r"\(at (?:line (\d+), column \d+|end of document)\)")


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """Return the tables of a TOML file and its text.

    Raises:
        DefinitionError: the file is missing, unreadable, not UTF-8, or not TOML.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DefinitionError(f"{path}: this campaign file does not exist{_nearby(path)}") from None
    except IsADirectoryError:
        raise DefinitionError(f"{path}: this is a folder; name the campaign file in it{_nearby(path)}") from None
    except OSError as error:
        raise DefinitionError(
            f"{path}: the campaign file cannot be read ({error.strerror}); make it readable."
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DefinitionError(str(Problem(path, "this line is not UTF-8; save the file as UTF-8.", line))) from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        found = _POSITION.search(str(error))
        line = int(found[1]) if found and found[1] else len(text.splitlines()) or 1
        what = _POSITION.sub("", str(error)).strip()
        raise DefinitionError(str(Problem(path, f"this is not TOML: {what}.", line))) from None
    except RecursionError:
        raise DefinitionError(
            f"{path}: the tables are nested too deeply; a campaign file has only sections and keys."
        ) from None


def line_of(text: str, location: Iterable[str | int]) -> int | None:
    """Return the line of the entry at `location` (section, key), or of its nearest parent in the file.

    The text is searched, since `tomllib` keeps no line numbers. None: neither the entry nor a parent was found.
    """
    wanted = tuple(str(part) for part in location)
    best, found = 0, None
    for number, path in _entries(text):
        shared = 0
        while shared < min(len(path), len(wanted)) and path[shared] == wanted[shared]:
            shared += 1
        if (shared == len(path) and shared > best) or shared == len(wanted) > best:
            best, found = shared, number
    return found


def place_of(path: Path, location: Iterable[str | int]) -> str:
    """Return `file:line` of an entry for an error text, or only the file if its line is not known."""
    try:
        line = line_of(path.read_text("utf-8-sig"), location)
    except (OSError, ValueError):
        line = None
    return f"{path}:{line}" if line else f"{path}"


def problems_of(
    path: Path,
    text: str,
    faults: Iterable[ErrorDetails],
    *,
    known: Mapping[tuple[str, ...], Iterable[str]],
    examples: Mapping[tuple[str, ...], str],
) -> list[Problem]:
    """Return the problems of a file, in the order of its lines.

    Args:
        path: the file's path for the error texts.
        text: its contents.
        faults: pydantic's errors; the text of a ValueError follows the name of the key and a colon.
        known: the keys of each section.
        examples: what to add if a key or section is missing.
    """
    problems = [Problem(path, _sentence(fault, known, examples), line_of(text, fault["loc"])) for fault in faults]
    return sorted(problems, key=lambda problem: problem.line or 0)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name most similar to `name`, or None if none is similar."""
    close = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.5)
    return close[0] if close else None


def _sentence(
    fault: ErrorDetails,
    known: Mapping[tuple[str, ...], Iterable[str]],
    examples: Mapping[tuple[str, ...], str],
) -> str:
    # the number of an entry of `[[section]]` is told by its line
    location = tuple(part for part in fault["loc"] if isinstance(part, str))
    *sections, key = location or ("the file",)
    name = f"[{'.'.join(sections)}] {key}" if sections else key
    match fault["type"]:
        case "extra_forbidden":
            names = list(known.get(tuple(sections), ()))
            where = f"[{'.'.join(sections)}]" if sections else "a campaign file"
            near = nearest(key, names)
            return f'unknown key "{key}" in {where}; ' + (
                f'did you mean "{near}"?' if near else f"the possible keys are {', '.join(names)}."
            )
        case "missing":
            return f"{name} is missing; add {examples.get(location, 'it')}."
        case "value_error":
            sentence = fault["msg"].removeprefix("Value error, ").rstrip(".")
            return f"{name}: {sentence}{'' if sentence.endswith('?') else '.'}"
        case kind:
            return f"{name}: {_TYPES.get(kind, fault['msg']).format(key=key, **fault.get('ctx', {}))}."


def _entries(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield line and path of every header and every `key =`, except inside multi-line strings.

    The path of an entry of `[[section]]` goes on with its number, counted from 0.
    """
    section: tuple[str, ...] = ()
    counts: Counter[tuple[str, ...]] = Counter()
    quote: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        inside = quote
        for mark in _TRIPLE.findall(line):
            if quote is None:
                quote = mark
            elif quote == mark:
                quote = None
        if inside is not None:
            continue
        if header := _HEADER.fullmatch(line):
            *parents, name = _parts(header[1])
            section = (*_numbered(parents, counts), name)
            if line.lstrip().startswith("[["):
                counts[section] += 1
                section = (*section, str(counts[section] - 1))
            yield number, section
        elif entry := _ENTRY.match(line):
            yield number, section + _parts(entry[1])


def _numbered(parents: Iterable[str], counts: Mapping[tuple[str, ...], int]) -> tuple[str, ...]:
    """Return the path of a header's parents; one that is a `[[section]]` is its last entry so far (TOML 1.0)."""
    path: tuple[str, ...] = ()
    for part in parents:
        path = (*path, part)
        if number := counts.get(path):
            path = (*path, str(number - 1))
    return path


def _parts(dotted: str) -> tuple[str, ...]:
    try:
        node: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return (dotted,)
    parts = []
    while isinstance(node, dict):
        ((part, node),) = node.items()
        parts.append(part)
    return tuple(parts)


def _nearby(path: Path) -> str:
    """Return the end of a sentence: which campaign file was probably meant, and what to type."""
    folder = path if path.is_dir() else path.parent
    for place in ("*.toml", "*/*.toml", "templates/*/*.toml"):
        names = [str(file) for file in sorted(folder.glob(place)) if _is_campaign(file)]
        if names:
            meant = nearest(str(path), names) or names[0]
            return f"; did you mean {meant}? Type: campaign check {shlex.quote(meant)}"
    return "; to write one to start from, type: campaign new NAME"


def _is_campaign(file: Path) -> bool:
    """Return whether a TOML file is a campaign file; a project has other TOML files, too."""
    try:
        return "[email]" in file.read_text("utf-8")
    except (OSError, ValueError):
        return False
