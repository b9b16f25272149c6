"""Read the tables of a campaign file, section by section, variant by variant: `read_campaign`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from campaign.config.definition import rules
from campaign.config.definition.campaign import CampaignSections, Definition, Variant
from campaign.config.definition.faults import missing, wrong
from campaign.config.definition.schedule_section import RecheckSection, ScheduleSection
from campaign.config.definition.section import Section
from campaign.config.definition.sections import DkimSection, EmailSection, LinkSection
from campaign.config.definition.timing_rules import recheck_faults, schedule_faults, schedule_of
from campaign.config.definition.variants import LAYERED, read_variants

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from campaign.config.definition.faults import Location
    from campaign.config.definition.variants import Layer

_Table = TypeVar("_Table", bound=Section)
#: The keys of `[email]` that are usually each step's own.
_OWN_OF_STEPS = ("subject", "html")


@dataclass(slots=True)
class CampaignFile:
    """What was read: the campaign, or else what is wrong with its file."""

    definition: Definition | None = None
    faults: list[ErrorDetails] = field(default_factory=list)
    #: The keys of the tables of steps and locales.
    known: dict[tuple[str, ...], list[str]] = field(default_factory=dict)


def read_campaign(path: Path, data: Mapping[str, Any]) -> CampaignFile:
    """Return the campaign of a file's tables, or all their faults.

    Args:
        path: the campaign file; paths in it are relative to its folder.
        data: its tables.
    """
    reader = _FileReader(path, data)
    definition = reader.read()
    # the same mistake breaks several variants, and is told once
    faults = {(fault["loc"], fault["type"], fault["msg"]): fault for fault in reader.faults}
    return CampaignFile(None if faults else definition, list(faults.values()), reader.layers.known)


class _FileReader:
    """Reads one file; what is wrong is added to `faults`."""

    def __init__(self, path: Path, data: Mapping[str, Any]) -> None:
        self._path = path
        self._data = data
        self.layers = read_variants(data)
        self.faults = self.layers.faults

    def read(self) -> Definition | None:
        """Return the campaign, or None if there are faults."""
        common = {key: value for key, value in self._data.items() if key not in {*LAYERED, "steps", "locales"}}
        sections = self._table(CampaignSections, common)
        for name, section in LAYERED.items():
            if name in self._data and not isinstance(self._data[name], dict):
                self._table(section, self._data[name], (name,))
        variants = {(layer.step, layer.locale): self._variant(layer) for layer in self.layers.layers}
        dkim = self._dkim(variants.values())
        whole = {key: variant for key, variant in variants.items() if variant is not None}
        if sections is None or self.faults:
            return None
        keys = {name: getattr(sections, name) for name in CampaignSections.model_fields} | {"dkim": dkim}
        return Definition.of(
            whole,
            self._columns(whole),
            path=self._path,
            step_names=self.layers.steps,
            locale_names=self.layers.locales,
            locale_column=self.layers.column,
            **keys,
        )

    def _variant(self, layer: Layer) -> Variant | None:
        """Return what one step and locale have of their own; None if any of it is wrong."""
        if "email" not in layer.tables and "email" not in self._data:
            self.faults.append(missing(("email",)))
        email = self._section(EmailSection, "email", layer)
        link = self._section(LinkSection, "link", layer)
        recheck = self._section(RecheckSection, "recheck", layer)
        if recheck is not None:
            self.faults += recheck_faults(recheck, layer)
        schedule = self._section(ScheduleSection, "schedule", layer) or ScheduleSection()
        self.faults += schedule_faults(schedule, self.layers.steps, layer)
        if email is None:
            return None
        return Variant(email, link, schedule_of(schedule, self.layers.steps, layer.number), recheck)

    def _section(self, model: type[_Table], name: str, layer: Layer) -> _Table | None:
        written = self._data.get(name)
        if name not in layer.tables and not (isinstance(written, dict)):
            return None
        table = layer.tables.get(name, {})
        found, faults = self._validated(model, table)
        if found is None and model in {ScheduleSection, RecheckSection}:
            # the keys that are right are checked against the rest of the file all the same
            at_fault = {fault["loc"][0] for fault in faults if fault["loc"]}
            found, _ = self._validated(model, {key: value for key, value in table.items() if key not in at_fault})
        for fault in faults:
            key, *rest = fault["loc"] or ("",)
            place: Location = layer.place(name, str(key))
            if fault["type"] == "missing" and not rest and key in _OWN_OF_STEPS and layer.step:
                place = ("steps", layer.number, str(key))
            self.faults.append({**fault, "loc": (*place, *rest)})
        return found

    def _table(self, model: type[_Table], table: object, place: Location = ()) -> _Table | None:
        found, faults = self._validated(model, table)
        self.faults += [{**fault, "loc": (*place, *fault["loc"])} for fault in faults]
        return found

    def _validated(self, model: type[_Table], table: object) -> tuple[_Table | None, list[ErrorDetails]]:
        try:
            return model.model_validate(table, context=self._path.parent, by_alias=True, by_name=False), []
        except ValidationError as error:
            return None, error.errors(include_url=False, include_input=False)

    def _dkim(self, variants: Iterable[Variant | None]) -> DkimSection | None:
        """Return `[dkim]` with its domain, which every step's and locale's sender must agree with."""
        written = self._data.get("dkim")
        if written is None:
            return None
        try:
            dkim = DkimSection.model_validate(written, by_alias=True, by_name=False)
        except ValidationError:
            return None  # `CampaignSections` has told it
        for variant in variants:
            if variant is not None:
                try:
                    domain = rules.aligned(dkim.domain, variant.email.sender, selector=dkim.selector)
                except ValueError as error:
                    self.faults.append(wrong(("dkim", "domain"), str(error)))
                else:
                    dkim = dkim.model_copy(update={"domain": domain})
        return dkim

    def _columns(self, variants: Mapping[tuple[str, str], Variant]) -> dict[str, Location]:
        """Return the columns that the CSV must have, each with the place that names it first."""
        found: dict[str, Location] = {self.layers.column: ("locales", "column")} if self.layers.column else {}
        for layer in self.layers.layers:
            for name, key in variants[layer.step, layer.locale].schedule.columns.items():
                found.setdefault(name, layer.place("schedule", key))
        return found
