"""Render every row of a CSV for a check, each step in the row's locale, and collect what is wrong: `RowReview`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.compliance.content import ContentReview
from campaign.errors import RowError, TemplateError
from campaign.message.dry_run import RowFaults, compose_row
from campaign.message.row_groups import RowGroups
from campaign.message.variants import said_once
from campaign.message.warnings import MessageWarnings
from campaign.model import InvalidRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from campaign.config.definition import Definition
    from campaign.message import Message
    from campaign.message.variants import CampaignMessages, MessageVariant
    from campaign.model import Recipient


class RowReview:
    """Examines the rows of a CSV, and says once what is the same for many of them.

    Args:
        definition: the campaign file.
        messages: the campaign's messages; None if they could not be compiled, so that no row is rendered.
    """

    def __init__(self, definition: Definition, messages: CampaignMessages | None) -> None:
        self._definition = definition
        self._messages = messages
        self._variants = [_VariantReview(variant) for variant in messages or ()]
        self._by_key = {review.variant.key: review for review in self._variants}
        self._skipped = RowGroups(definition.recipients.file)
        self._shared = RowGroups(definition.recipients.file)
        #: The line of each key, and of each address.
        self._keys: dict[str, int] = {}
        self._addresses: dict[str, int] = {}
        self._first: Recipient | None = None
        self.recipients = 0
        self.skipped = 0
        #: The bytes of the files of the mail with the largest files, and its line in the CSV.
        self.largest_files = (0, 0)

    def examine(self, row: Recipient | InvalidRow) -> None:
        """Examine one row."""
        key_column = self._definition.recipients.key
        if isinstance(row, InvalidRow):
            self._skip(row.reason, row.line)
        elif row.key in self._keys:
            self._skip(f"line {self._keys[row.key]} has the same {key_column}", row.line)
        elif self._can_be_rendered(row):
            self._first = self._first or row
            self._keys[row.key] = row.line
            address = row.email.lower()
            if address in self._addresses:
                line = self._addresses[address]
                self._shared.add(
                    f"line {line} has the same address under another {key_column}; both are mailed", row.line
                )
            self._addresses.setdefault(address, row.line)
            self.recipients += 1

    def problems(self) -> Iterator[str]:
        """Yield the mistakes of the templates, each with the rows that show it."""
        return self._said_once({review: review.faults.of_templates.lines() for review in self._variants})

    def warnings(self, files: Iterable[str]) -> Iterator[str]:
        """Yield the accidents in templates, values and messages, and the rows that are skipped or share an address.

        Args:
            files: the template files, in which the places are looked for.
        """
        files = list(files)
        yield from self._said_once({review: review.warnings.lines() for review in self._variants})
        yield from self._said_once({review: map(str, review.content.findings(files)) for review in self._variants})
        yield from self._unused()
        yield from self._shared.lines()
        yield from self._skipped.lines()

    @property
    def links(self) -> str:
        """Where the links lead that `link_to` makes from columns; empty if there is none."""
        paths = {review: filter(None, [review.warnings.paths]) for review in self._variants}
        return "; ".join(self._said_once(paths))

    @property
    def first_links(self) -> tuple[str, ...]:
        """The links of the first message, with the token of a check."""
        return next((review.content.links for review in self._variants if review.content.links), ())

    @property
    def largest(self) -> int:
        """The size of the largest message in bytes."""
        return max((review.content.largest for review in self._variants), default=0)

    def _can_be_rendered(self, row: Recipient) -> bool:
        """Return whether a row is mailed: a mistake of a template is no reason against it, and is told by itself."""
        messages = self._messages
        rendered: list[tuple[_VariantReview, Message]] = []
        for variant in messages.of_row(row.variables) if messages else ():
            review = self._by_key[variant.key]
            review.is_used = True
            if review.faults.is_hopeless:
                continue
            try:
                message = compose_row(variant.template, row, variant.definition)
            except TemplateError as error:
                invalid = review.faults.add(row, error)
                if invalid is not None and messages is not None:
                    self._skip(str(messages.fault(variant, error)), row.line)
                    return False
            else:
                review.faults.note_success()
                rendered.append((review, message))
        for review, message in rendered:
            review.note(row, message)
            size = sum(file.size for file in message.files)
            self.largest_files = max(self.largest_files, (size, row.line), key=lambda each: each[0])
        return True

    def _skip(self, reason: str, line: int) -> None:
        self.skipped += 1
        self._skipped.add(f"skipped: {reason}", line)

    def _said_once(self, lines: Mapping[_VariantReview, Iterable[str]]) -> Iterator[str]:
        used = [review.variant.key for review in self._variants if review.is_used]
        return said_once({review.variant.key: said for review, said in lines.items()}, list(self._by_key), used=used)

    def _unused(self) -> Iterator[str]:
        """Yield the mistakes in messages that no row gets yet, shown with the first row."""
        faults: dict[_VariantReview, Iterable[str]] = {}
        for review in self._variants:
            if review.is_used or self._first is None:
                continue
            try:
                compose_row(review.variant.template, self._first, review.variant.definition)
            except RowError:
                continue
            except TemplateError as error:
                faults[review] = [str(error)]
        for line in self._said_once(faults):
            yield f"{line}: no row gets this message yet"


class _VariantReview:
    """What is found in the messages of one step and locale."""

    def __init__(self, variant: MessageVariant) -> None:
        file = variant.definition.recipients.file
        self.variant = variant
        self.faults = RowFaults(file)
        self.warnings = MessageWarnings(variant.template, file)
        self.content = ContentReview(variant.definition)
        #: Whether a row gets this message.
        self.is_used = False

    def note(self, row: Recipient, message: Message) -> None:
        """Take in the message of one row."""
        self.warnings.examine(row, message)
        self.content.note(row.line, message)
