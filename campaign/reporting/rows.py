"""Render a campaign's emails row by row, each with a dummy token: `CampaignRows`, for `campaign preview --open`.

The pages that show them are in `sandbox/inbox/`.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from campaign.audience import Audience
from campaign.delivery.services import needs_user_id
from campaign.delivery.single_message import variant_for
from campaign.errors import CampaignError
from campaign.message import MessageTemplate
from campaign.message.dry_run import sample_message
from campaign.model import InvalidRow
from campaign.recipients import read_recipients
from campaign.reporting.summary import number as counted
from campaign.sandbox.inbox import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.config.definition import Definition
    from campaign.model import Recipient

#: The last rows read are cached, so that a step back does not read the file again.
_CACHE_ROWS = 500


class CampaignRows:
    """A campaign's rows, each rendered on request from the current files. It is thread-safe.

    So after a change of a template or the CSV, the operator only has to reload the page.

    Args:
        load: reads the campaign file.
        step: the step to show; by default the first.
        locale: the locale to show; by default each row's own.
    """

    def __init__(self, load: Callable[[], Definition], *, step: str | None = None, locale: str | None = None) -> None:
        self._load = load
        self._step = step
        self._locale = locale
        self._lock = threading.Lock()
        self._reading: _Reading | None = None
        self._name = load().name

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self._name

    def close(self) -> None:
        """Close the CSV, and delete the temporary file of a grouped one."""
        with self._lock:
            if self._reading is not None:
                self._reading.close()
                self._reading = None

    def row(self, number: int) -> Row | str:
        """Return a row with its mail, or a sentence that says why there is no such row."""
        try:
            definition = self._load()
            with self._lock:
                found = self._at(definition, number)
                if found is None:
                    file = definition.recipients.file
                    return f"{file} has no row {number:,}; the last row is {self._at_hand(definition).number:,}."
                last = self._at(definition, number + 1) is None
        except CampaignError as error:
            return str(error)
        where = f"{definition.recipients.file}:{found.line}"
        if isinstance(found, InvalidRow):
            return Row(number, found.email, where, None, f"It will be skipped: {found.reason}", last=last)
        try:
            content, said = self._mail(definition, found)
        except CampaignError as error:
            content, said = None, str(error)
        problem, note = ("", said) if content else (said, "")
        return Row(number, found.email, where, content, problem, _columns(found), note, last=last)

    def _mail(self, definition: Definition, row: Recipient) -> tuple[bytes | None, str]:
        """Return a row's mail and a sentence about its links; if it gets none, the sentence says why."""
        judged = Audience(definition).judge(row)
        if judged is None:
            return None, f"It gets no mail, because it is outside `where`: {definition.recipients.where}"
        if isinstance(judged, InvalidRow):
            return None, f"It will be skipped: {judged.reason}"
        variant = variant_for(definition, row, step=self._step, locale=self._locale)
        message = sample_message(MessageTemplate.load(variant), row, variant)
        return message.data, "They contain a dummy token that cannot be used to sign in." if variant.link else ""

    def find(self, address: str, *, after: int, exact: bool = False) -> int | str:
        """Return the number of the next row whose address contains the text (`exact`: equals it), or else a sentence.

        The search starts after the row `after`. At the end of the CSV it continues from the first row to `after`.
        """
        wanted = address.lower()
        try:
            definition = self._load()
            with self._lock:
                for start, end in ((after + 1, None), (1, after)):
                    number = start
                    while (end is None or number <= end) and (row := self._at(definition, number)) is not None:
                        found = row.email.lower()
                        if found == wanted or (wanted in found and not exact):
                            return number
                        number += 1
        except CampaignError as error:
            return str(error)
        return f"{definition.recipients.file}: no row has the address {address}."

    def _at(self, definition: Definition, number: int) -> Recipient | InvalidRow | None:
        reading = self._at_hand(definition)
        if reading.passed(number):
            reading.close()
            reading = self._reading = _Reading(definition)
        return reading.row(number)

    def _at_hand(self, definition: Definition) -> _Reading:
        if self._reading is None or self._reading.version != _version(definition):
            if self._reading is not None:
                self._reading.close()
            self._reading = _Reading(definition)
        return self._reading


class _Reading:
    """A CSV that is read forward, only as far as rows were requested."""

    def __init__(self, definition: Definition) -> None:
        self.version = _version(definition)
        section = definition.recipients
        self._rows = read_recipients(section.file, section, needs_user_id=needs_user_id(definition))
        self._kept: deque[Recipient | InvalidRow] = deque(maxlen=_CACHE_ROWS)
        #: The number of the last row read, counted from 1.
        self.number = 0

    def close(self) -> None:
        """Stop reading."""
        self._rows.close()

    def passed(self, number: int) -> bool:
        """Return whether a row was read and is no longer in the cache."""
        return 0 < number <= self.number - len(self._kept)

    def row(self, number: int) -> Recipient | InvalidRow | None:
        while self.number < number:
            row = next(self._rows, None)
            if row is None:
                return None
            self._kept.append(row)
            self.number += 1
        return self._kept[number - self.number - 1] if number > 0 else None


def _version(definition: Definition) -> tuple[object, ...]:
    """Return a value that changes when the CSV, or the way it is read, has changed."""
    section = definition.recipients
    try:
        about = section.file.stat()
    except OSError:
        # Reading the file raises an error that says what is wrong.
        return (section, needs_user_id(definition))
    return (section, needs_user_id(definition), about.st_mtime_ns, about.st_size)


def _columns(recipient: Recipient) -> dict[str, str]:
    return {
        name: counted(len(value), "row") if isinstance(value, list | tuple) else str(value)
        for name, value in recipient.variables.items()
    }
