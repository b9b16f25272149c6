"""Render every row with a dummy token before the run creates tokens or sends mail: `checked_rows`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.clock import SystemClock, instant
from campaign.errors import AttachmentError, TemplateError
from campaign.model import Recipient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from campaign.config.definition import Definition
    from campaign.message import Message, MessageTemplate
    from campaign.model import InvalidRow

#: The token of sample messages that people look at; it cannot sign in a user.
DUMMY_TOKEN = "dummy-token"  # noqa: S105 - it is none
#: The token for checks: as long as a real one, with every kind of character that a template filter could change.
_SAMPLE_TOKEN = "Sample-Token_" + "eyJhbGciOiJSUzI1NiJ9." * 15
_MESSAGE_ID = "<sample@campaign.invalid>"


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
        AttachmentError: a file of the row cannot be attached; the text names the CSV file and the line.
        TemplateError: the message cannot be rendered; likewise.
    """
    try:
        return template.compose(
            recipient.variables,
            email=recipient.email,
            message_id=_MESSAGE_ID,
            date=instant(SystemClock().now() // 1),
            token=token if definition.link else None,
            eight_bit=eight_bit,
        )
    except AttachmentError as error:
        raise AttachmentError(f"{definition.recipients.file}:{recipient.line}: skipped: {error}") from None
    except TemplateError as error:
        raise TemplateError(f"{definition.recipients.file}:{recipient.line}: {error}") from None


def compose_row(template: MessageTemplate, recipient: Recipient, definition: Definition) -> Message:
    """Return one row's message, composed as a run would, with a dummy token.

    Raises:
        AttachmentError: a file of the row cannot be attached, so a run would skip the row; the text names the CSV file
            and the line.
        TemplateError: the message cannot be composed; likewise.
    """
    return sample_message(template, recipient, definition, token=_SAMPLE_TOKEN, eight_bit=True)


def checked_rows(
    rows: Iterable[Recipient | InvalidRow], template: MessageTemplate, definition: Definition
) -> Iterator[Recipient | InvalidRow]:
    """Yield each row after rendering its templates once; `MessageTemplate.check` says which steps it skips.

    Raises:
        TemplateError: a row cannot be rendered.
    """
    token = _SAMPLE_TOKEN if definition.link else None
    date = instant(SystemClock().now() // 1)
    for row in rows:
        if isinstance(row, Recipient):
            try:
                template.check(row.variables, email=row.email, message_id=_MESSAGE_ID, date=date, token=token)
            except TemplateError as error:
                where = f"{definition.recipients.file}:{row.line}"
                raise TemplateError(
                    f"{where}: {error}\nNothing was sent. `campaign check` lists all such rows."
                ) from None
        yield row
