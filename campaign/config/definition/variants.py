"""Merge what steps and locales override into one set of tables for each step and locale: `read_variants`.

The tables are merged as they stand in the file, before pydantic reads them, so that each mistake is found in the
variant it breaks and named at the line on which it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from campaign.config.definition import names
from campaign.config.definition.faults import missing, unknown, wrong
from campaign.config.definition.schedule_section import RecheckSection, ScheduleSection
from campaign.config.definition.sections import EmailSection, LinkSection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pydantic_core import ErrorDetails

    from campaign.config.definition.faults import Location
    from campaign.config.definition.section import Section

#: The sections whose keys a step or a locale may override.
LAYERED: dict[str, type[Section]] = {
    "email": EmailSection,
    "link": LinkSection,
    "schedule": ScheduleSection,
    "recheck": RecheckSection,
}
#: The section of each key; `url` is that of `[link]`.
OWNERS: dict[str, str] = {
    model.alias or key: name
    for name, section in reversed(LAYERED.items())
    for key, model in section.model_fields.items()
}
_STEP_KEYS = ["name", *OWNERS]
_LOCALES_KEYS = ["column", "default"]


@dataclass(slots=True)
class Layer:
    """The tables of one step and locale, merged, and where each key stands in the file."""

    step: str
    #: The step's number, from 0.
    number: int
    locale: str
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: By section and key.
    places: dict[tuple[str, str], Location] = field(default_factory=dict)

    def set(self, key: str, value: object, place: Location, section: str | None = None) -> None:
        """Set a key, whatever it was before."""
        section = section or OWNERS[key]
        self.tables.setdefault(section, {})[key] = value
        self.places[section, key] = place

    def place(self, section: str, key: str) -> Location:
        """Return where a key stands, or where it would."""
        return self.places.get((section, key), (section, key))


@dataclass(slots=True)
class Layers:
    """What `[[steps]]` and `[locales]` of a campaign file make of its sections."""

    steps: tuple[str, ...] = ("",)
    locales: tuple[str, ...] = ("",)
    #: The column with a row's locale; empty without `[locales]`.
    column: str = ""
    layers: list[Layer] = field(default_factory=list)
    faults: list[ErrorDetails] = field(default_factory=list)
    #: The keys of each table, for the error that names the nearest one.
    known: dict[tuple[str, ...], list[str]] = field(default_factory=dict)


def read_variants(data: Mapping[str, Any]) -> Layers:
    """Return the tables of each step and locale, and what is wrong with `[[steps]]` and `[locales]` themselves."""
    found = Layers()
    found.known["steps",] = _STEP_KEYS
    steps = _steps(data.get("steps"), found)
    locales = _locales(data.get("locales"), found)
    for number, (step, own) in enumerate(zip(found.steps, steps, strict=True)):
        for locale in found.locales:
            layer = Layer(step, number, locale)
            for section in LAYERED:
                table = data.get(section)
                for key, value in table.items() if isinstance(table, Mapping) else ():
                    if number == 0 or (section, key) != ("schedule", "due"):  # a later step has a due time of its own
                        layer.set(key, value, (section, key), section)
            for key, value in own.items():
                layer.set(key, value, ("steps", number, key))
            name, table = locales.get(names.plain_locale(locale), ("", {}))
            for key, value in table.items():
                if key not in found.steps:
                    layer.set(key, value, ("locales", name, key))
            for key, value in table.get(step, {}).items():
                layer.set(key, value, ("locales", name, step, key))
            found.layers.append(layer)
    return found


def _steps(written: object, found: Layers) -> list[dict[str, Any]]:
    """Note the names of the steps; return the keys that each of them overrides."""
    if written is None:
        return [{}]
    if not isinstance(written, list) or not written or not all(isinstance(step, dict) for step in written):
        sentence = "write a section [[steps]], in double brackets, with name for each step"
        found.faults.append(wrong(("steps",), sentence))
        return [{}]
    taken: list[str] = []
    for number, step in enumerate(written):
        name = _text(step, "name", ("steps", number), lambda name: _step_name(name, taken), found)
        taken.append(name or f"[{number}]")  # no step can have this name, so the rest of the file can be checked
    found.steps = tuple(taken)
    return [
        {key: value for key, value in step.items() if key != "name" and _is_known(key, ("steps", number), found)}
        for number, step in enumerate(written)
    ]


def _locales(written: object, found: Layers) -> dict[str, tuple[str, dict[str, Any]]]:
    """Note the names of the locales; return the name and the keys of each, by the name as it is compared."""
    if written is None:
        return {}
    if not isinstance(written, dict):
        found.faults.append(wrong(("locales",), "must be a section, written [locales]"))
        return {}
    tables: dict[str, tuple[str, dict[str, Any]]] = {}
    found.known["locales",] = _LOCALES_KEYS
    for name, table in written.items():
        if name in _LOCALES_KEYS:
            continue
        if not isinstance(table, dict):
            found.faults.append(unknown(("locales", name)))
            continue
        try:
            plain = names.plain_locale(names.locale_name(name))
            if plain in tables:
                raise ValueError(f"[locales.{tables[plain][0]}] is the same language; write one section for both")
        except ValueError as error:
            found.faults.append(wrong(("locales", name), str(error)))
            continue
        tables[plain] = (name, _overrides(table, ("locales", name), found))
    found.column = _text(written, "column", ("locales",), lambda name: names.variable(name, example="locale"), found)
    default = _text(written, "default", ("locales",), names.locale_name, found)
    others = [name for plain, (name, _) in tables.items() if plain != names.plain_locale(default)]
    found.locales = (default, *others)
    return tables


def _step_name(name: str, taken: Collection[str]) -> str:
    if name in taken:
        raise ValueError(f'there are two steps "{name}"; give each a name of its own')
    if name in OWNERS:
        raise ValueError(f'"{name}" is also the name of a key; choose another one')
    return names.step_name(name)


def _text(table: Mapping[str, Any], key: str, place: Location, check: Callable[[str], str], found: Layers) -> str:
    """Return a checked text of a table; empty, with a fault noted, if it is missing or wrong."""
    if key not in table:
        found.faults.append(missing((*place, key)))
        return ""
    try:
        if not isinstance(table[key], str):
            raise ValueError('must be text in quotes, such as "…"')  # noqa: TRY004 - told as the others are
        return check(table[key])
    except ValueError as error:
        found.faults.append(wrong((*place, key), str(error)))
        return ""


def _overrides(table: Mapping[str, Any], place: Location, found: Layers) -> dict[str, Any]:
    """Return what a locale overrides, for all steps and, in tables with a step's name, for that step."""
    kept: dict[str, Any] = {}
    for key, value in table.items():
        if key not in found.steps:
            if _is_known(key, place, found, also=found.steps):
                kept[key] = value
        elif isinstance(value, dict):
            kept[key] = {name: each for name, each in value.items() if _is_known(name, (*place, key), found)}
        else:
            written = ".".join(map(str, (*place, key)))
            found.faults.append(wrong((*place, key), f"must be a section, written [{written}]"))
    return kept


def _is_known(key: str, place: Location, found: Layers, also: Collection[str] = ()) -> bool:
    if key in OWNERS:
        return True
    table = tuple(part for part in place if isinstance(part, str))
    found.known.setdefault(table, [*OWNERS, *filter(None, also)])
    found.faults.append(unknown((*place, key)))
    return False
