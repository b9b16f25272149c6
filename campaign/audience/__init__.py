"""Decide who of a CSV is a recipient, in which order, and when each is due: `Audience`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from campaign.audience.columns import require_columns
from campaign.audience.instants import instant_read, time_read
from campaign.config.definition.toml_file import place_of
from campaign.errors import RowError, TemplateError
from campaign.message.dry_run import RowFaults
from campaign.message.expression import Condition
from campaign.message.filters import is_number, shown
from campaign.model import InvalidRow, Recipient
from campaign.recipients import variable_name

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from campaign.config.definition import Definition
    from campaign.schedule import Schedule

__all__ = ["Audience"]


class Audience:
    """The recipients of a campaign: by `[recipients] where` and `order`, and by the times that `[schedule]` names.

    Args:
        definition: the campaign file.

    Raises:
        TemplateError: `where` is malformed.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        section = definition.recipients
        self._condition = (
            Condition(
                section.where,
                where=f"{place_of(definition.path, ('recipients', 'where'))}: [recipients] where",
                read_time=time_read(definition),
            )
            if section.where
            else None
        )
        self._order = variable_name(section.order) if section.order else None
        self._faults = RowFaults(section.file)
        self._are_columns_known = False
        #: Rows (or groups) that `where` was asked about.
        self.seen = 0
        #: Those of them for which it is false: they are no recipients.
        self.outside = 0

    @property
    def fingerprint(self) -> str:
        """A text that changes when the campaign file's times or its column of locales would change what is read.

        It is empty in a campaign without them; `where` and `order` are in `[recipients]` itself.
        """
        times = {
            locale: [f"{each.due} {each.until} {each.zone} {each.default_zone}" for each in schedules]
            for locale, schedules in self._schedules.items()
        }
        column = self._definition.locale_column
        return repr((column, times)) if column or times else ""

    @property
    def sentence(self) -> str:
        """How many rows are outside `where`; empty if it left out none."""
        if not self.outside:
            return ""
        verb = "is" if self.outside == 1 else "are"
        return f"{self.outside:,} of {self.seen:,} rows {verb} outside `where` ({self._definition.recipients.where})."

    def select(
        self, rows: Generator[Recipient | InvalidRow, None, None]
    ) -> Generator[Recipient | InvalidRow, None, None]:
        """Yield the rows that are in the audience, with due time and position, and the invalid ones.

        Raises:
            TemplateError: `where` is wrong for all rows, or a column is missing; the text names the campaign file's
                line.
        """
        return self._selected(rows) if self._is_choosy else rows

    def judge(self, row: Recipient) -> Recipient | InvalidRow | None:
        """Return a row with due time and position, or as an invalid one; None if it is outside `where`.

        Raises:
            TemplateError: see `select`.
        """
        if not self._is_choosy:
            return row
        self._require_columns(row)
        try:
            if not self._is_inside(row):
                return None
            if not (self._order or self._schedules):
                return row
            return row._replace(position=self._position(row.variables), due_at=self._due_at(row.variables))
        except TemplateError as error:
            invalid = self._faults.add(row, error)
            if invalid is None:
                raise TemplateError(next(self._faults.of_templates.lines())) from None
            return invalid

    @property
    def _is_choosy(self) -> bool:
        return bool(self._condition or self._order or self._needed)

    @property
    def _needed(self) -> Mapping[str, tuple[str | int, ...]]:
        """The columns that the CSV must have, besides those of `where`, each with its place in the campaign file."""
        order = {self._order: ("recipients", "order")} if self._order else {}
        return {**order, **self._definition.columns}

    @cached_property
    def _schedules(self) -> Mapping[str, list[Schedule]]:
        """The schedules of all steps, for each locale; empty if every step is due at once and never too late."""
        definition = self._definition
        found = {
            locale: [definition.variant(step, locale).schedule for step in definition.step_names]
            for locale in definition.locale_names
        }
        every = [schedule for schedules in found.values() for schedule in schedules]
        return found if any(schedule.due or schedule.until or schedule.window for schedule in every) else {}

    def _selected(
        self, rows: Generator[Recipient | InvalidRow, None, None]
    ) -> Generator[Recipient | InvalidRow, None, None]:
        try:
            for row in rows:
                judged = self.judge(row) if isinstance(row, Recipient) else row
                if judged is not None:
                    yield judged
        finally:
            rows.close()

    def _require_columns(self, row: Recipient) -> None:
        """Check the columns of the CSV once: all rows have the same."""
        if self._are_columns_known:
            return
        self._are_columns_known = True
        columns = _columns_of(row.variables)
        if self._order:  # in any case of letters, as the header of `key`
            self._order = next((name for name in columns if name.lower() == str(self._order).lower()), self._order)
        require_columns(self._definition, self._needed, columns)
        if self._condition:
            self._condition.require_columns(columns)

    def _is_inside(self, row: Recipient) -> bool:
        if self._condition is None:
            return True
        self.seen += 1
        inside = self._condition.is_true(row.variables)
        self._faults.note_success()
        self.outside += not inside
        return inside

    def _position(self, variables: Mapping[str, Any]) -> float:
        if self._order is None:
            return 0.0
        text = self._cell(self._order, variables)
        if is_number(text):
            return float(text)
        try:
            return instant_read(self._definition, text, variables)
        except RowError:
            raise RowError(
                f"The cell {self._order} ({shown(text)}) is neither a number nor a time, and [recipients] order needs "
                "one of the two."
            ) from None

    def _due_at(self, variables: Mapping[str, Any]) -> float:
        """Return when the first step is due (seconds since the epoch), 0 for at once; try the times of all steps."""
        if not self._schedules:
            return 0.0
        due: list[float] = []
        for schedule in self._schedules[self._definition.locale_of(variables)]:
            for column in schedule.columns:
                self._cell(column, variables)
            due.append(schedule.due_at(variables, {}))
            schedule.until_at(variables, {})
            if schedule.window is not None:
                schedule.zone_of(variables)
        return due[0]

    def _cell(self, column: str, variables: Mapping[str, Any]) -> str:
        if column not in variables:
            raise RowError(f"The rows of this group differ in {column}; give them all the same.")
        return str(variables[column]).strip()


def _columns_of(variables: Mapping[str, Any]) -> Sequence[str]:
    """Return the columns of a CSV, also those in which the rows of a group differ."""
    grouped: Iterator[Iterable[str]] = (
        row.keys() for rows in variables.values() if isinstance(rows, list) for row in rows[:1]
    )
    return list(dict.fromkeys([*variables, *(name for names in grouped for name in names)]))
