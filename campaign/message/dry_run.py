"""Render every row with a dummy token before the run creates tokens or sends mail: `checked_rows`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.clock import SystemClock, instant
from campaign.errors import RecipientsError, RowError, RowTooLargeError, TemplateError
from campaign.message.row_groups import RowGroups
from campaign.model import InvalidRow, Recipient
from campaign.recipients.organization import organization_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from campaign.config.definition import Definition
    from campaign.message import Message, MessageTemplate
    from campaign.message.variants import CampaignMessages

#: The token of sample messages that people look at; it cannot sign in a user.
DUMMY_TOKEN = "dummy-token"  # noqa: S105 - it is none
#: The token for checks: as long as a real one, with every kind of character that a template filter could change.
_SAMPLE_TOKEN = "Sample-Token_" + "eyJhbGciOiJSUzI1NiJ9." * 15
#: The token of the unsubscribe links of sample messages: as long as a true one.
SAMPLE_UNSUBSCRIBE = "sample-unsubscribe-token__________"
#: The tag for a new link in sample messages: as long as a true one, and never one of a row.
SAMPLE_RENEWAL = "sample-renewal-tag________________"
_MESSAGE_ID = "<sample@campaign.invalid>"
#: Rows in sequence that may pass the limit of size or work. Each takes seconds; after these the template is why.
_MAX_TOO_LARGE = 3


class RowFaults:
    """Sorts the errors of rows: one row's values cost that row, a template's mistake stops the run.

    Args:
        file: the CSV.
    """

    def __init__(self, file: Path) -> None:
        #: The templates' mistakes, each with its rows.
        self.of_templates = RowGroups(file)
        self._too_large: list[tuple[str, int]] = []

    def add(self, row: Recipient, error: TemplateError) -> InvalidRow | None:
        """Return the row as an invalid one, or None if a template is at fault."""
        faults = [(str(error), row.line)]
        if isinstance(error, RowTooLargeError):
            self._too_large += faults
            faults = self._too_large
        else:
            self.note_success()
        if isinstance(error, RowError) and not self.is_hopeless:
            return InvalidRow(row.key, row.email, row.user_id, str(error), row.line)
        for text, line in faults:
            self.of_templates.add(text, line)
        return None

    def note_success(self) -> None:
        """Note that a row was rendered: where rows before it were too large, their values are why."""
        self._too_large.clear()

    @property
    def is_hopeless(self) -> bool:
        """Whether so many rows in sequence were too large that it makes no sense to render the others."""
        return len(self._too_large) >= _MAX_TOO_LARGE


def sample_message(
    template: MessageTemplate,
    recipient: Recipient,
    definition: Definition,
    *,
    token: str = DUMMY_TOKEN,
    eight_bit: bool = False,
) -> Message:
    """Return the message that a recipient would get, with a dummy token.

    Raises:
        TemplateError: the message cannot be composed; the text names the CSV file and the line.
    """
    try:
        return _composed(template, recipient, definition, token=token, eight_bit=eight_bit)
    except TemplateError as error:
        raise TemplateError(f"{definition.recipients.file}:{recipient.line}: {error}") from None


def compose_row(template: MessageTemplate, recipient: Recipient, definition: Definition) -> Message:
    """Return one row's message, composed as a run would, with a dummy token.

    Raises:
        TemplateError: the message cannot be composed.
        RowError: the row's values or files are why.
        RecipientsError: the CSV has no column with the organizations that the campaign file names.
    """
    _check_organization(recipient, definition)
    return _composed(template, recipient, definition, token=_SAMPLE_TOKEN, eight_bit=True)


def checked_rows(
    rows: Iterable[Recipient | InvalidRow], messages: CampaignMessages, file: Path
) -> Iterator[Recipient | InvalidRow]:
    """Yield each row after rendering its templates once; `MessageTemplate.check` says what it leaves out.

    The templates are those of every step, in the row's locale. A row whose values make one of its messages impossible
    becomes an invalid row.

    Args:
        rows: the rows of a CSV.
        messages: the campaign's messages.
        file: the CSV.

    Raises:
        TemplateError: a template cannot be rendered; the text has the number of rows and the first lines.
        RecipientsError: the CSV has no column with the organizations that the campaign file names.
    """
    date = instant(SystemClock().now() // 1)
    faults = RowFaults(file)
    for row in rows:
        checked: Recipient | InvalidRow | None = row
        if isinstance(row, Recipient):
            error = _fault_of(row, messages, date)
            if error is None:
                faults.note_success()
            else:
                checked = faults.add(row, error)
                if faults.is_hopeless:
                    break
        if checked is not None and not faults.of_templates:
            yield checked
    for line in faults.of_templates.lines():
        raise TemplateError(f"{line}\nNothing was sent. `campaign check` lists all problems.")


def _fault_of(row: Recipient, messages: CampaignMessages, date: datetime) -> TemplateError | None:
    """Return why one of a row's messages cannot be rendered, or None.

    Raises:
        RecipientsError: the CSV has no column with the organizations that the campaign file names.
    """
    for variant in messages.of_row(row.variables):
        try:
            _check_organization(row, variant.definition)
            variant.template.check(
                row.variables,
                email=row.email,
                message_id=_MESSAGE_ID,
                date=date,
                token=_SAMPLE_TOKEN if variant.definition.link else None,
                unsubscribe=SAMPLE_UNSUBSCRIBE,
                renewal=SAMPLE_RENEWAL,
            )
        except TemplateError as error:
            return messages.fault(variant, error)
    return None


def _check_organization(recipient: Recipient, definition: Definition) -> None:
    """Check the organization that the token of a row opens.

    Raises:
        RecipientsError: the CSV has no such column.
        RowError: the row does not name one organization.
    """
    if definition.link is None or definition.link.org_id is None:
        return
    try:
        organization_of(recipient, definition.link.org_id)
    except RecipientsError as error:
        raise RecipientsError(f"{definition.recipients.file}: {error}") from None


def _composed(
    template: MessageTemplate, recipient: Recipient, definition: Definition, *, token: str, eight_bit: bool
) -> Message:
    return template.compose(
        recipient.variables,
        email=recipient.email,
        message_id=_MESSAGE_ID,
        date=instant(SystemClock().now() // 1),
        token=token if definition.link else None,
        unsubscribe=SAMPLE_UNSUBSCRIBE,
        renewal=SAMPLE_RENEWAL,
        eight_bit=eight_bit,
    )
