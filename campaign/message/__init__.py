"""Compile a campaign's message once and compose it for each recipient: `MessageTemplate`.

`renderer.py` renders the subject and the bodies, `attachments.py` reads the files; `mime/mime_template.py` builds the
MIME structure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from campaign.errors import DefinitionError
from campaign.message.attachments import Attachments, MailFile
from campaign.message.mime.headers import split_mailbox
from campaign.message.mime.mime_template import MimeTemplate
from campaign.message.renderer import LinkData, Renderer
from campaign.message.unsubscribe import UnsubscribeLink, feedback_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any, Self

    from campaign.config.definition import Definition
    from campaign.message.renderer import TemplatePart


@dataclass(frozen=True, slots=True)
class Message:
    """One recipient's email."""

    #: The whole message in pieces, with CRLF line ends, not dot-stuffed; no line is longer than 998 bytes. Each piece
    #: ends with a line. Messages with the same attachment share its piece, since it can have megabytes.
    pieces: tuple[bytes, ...] = field(repr=False)
    subject: str
    #: The rendered bodies, with newlines as line breaks.
    html: str = field(repr=False)
    text: str = field(repr=False)
    #: The links that carry the token.
    links: tuple[str, ...] = field(repr=False)
    #: Those of them that `link_to` made.
    made_links: tuple[str, ...] = field(repr=False)
    #: The inline images, then the attachments.
    files: tuple[MailFile, ...] = ()

    @property
    def data(self) -> bytes:
        """The whole message in one piece."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    @property
    def size(self) -> int:
        """The bytes of the whole message."""
        return sum(map(len, self.pieces))


class MessageTemplate:
    """A campaign's compiled message; everything that is the same for all recipients is computed once."""

    def __init__(
        self,
        renderer: Renderer,
        mime: MimeTemplate,
        attachments: Attachments,
        unsubscribe: UnsubscribeLink | None = None,
    ) -> None:
        self._renderer = renderer
        self._mime = mime
        self._attachments = attachments
        self._unsubscribe = unsubscribe
        #: A hash of the templates, subject, sender, Reply-To, link and the files that are the same for all recipients:
        #: it changes when the mails would change.
        self.fingerprint = renderer.fingerprint
        if attachments.fingerprint:
            self.fingerprint = sha256(f"{renderer.fingerprint} {attachments.fingerprint}".encode()).hexdigest()

    @classmethod
    def load(cls, definition: Definition) -> Self:
        """Return the compiled message of a campaign.

        Raises:
            TemplateError: a template is missing or malformed, or does not use the link, or a file that is the same for
                all recipients cannot be attached; the text names file and line.
            DefinitionError: the sender or the Reply-To is not valid in a header.
        """
        renderer = Renderer(definition)
        unsubscribe = UnsubscribeLink.of(definition)
        try:
            mime = MimeTemplate(
                sender=definition.email.sender,
                reply_to=definition.email.reply_to,
                list_id=list_id(definition.mailing_list, definition.email.sender),
                boundary=f"=_{renderer.fingerprint[:32]}",
                feedback_id=feedback_id(definition, split_mailbox(definition.email.sender)[1]) if unsubscribe else None,
                one_click=unsubscribe is not None,
            )
        except ValueError as error:
            raise DefinitionError(f"{definition.path}: {error}") from None
        domain = split_mailbox(definition.email.sender)[1].rpartition("@")[2]
        attachments = Attachments(definition, mime.delimiters, domain=domain, images=renderer.images)
        return cls(renderer, mime, attachments, unsubscribe)

    @property
    def files(self) -> list[str]:
        """The template files that were read, in the order of their names."""
        return self._renderer.files

    @property
    def parts(self) -> Sequence[TemplatePart]:
        """The templates as they were written: files, and fields of the campaign file."""
        return self._renderer.parts

    @property
    def shared_files(self) -> list[MailFile]:
        """The images and attachments that are the same for all recipients."""
        return self._attachments.shared

    def variables_used(self) -> Mapping[str, str]:
        """Return the columns that the templates expect, each with the place (`file:line`) of its first use."""
        return {**self._attachments.names_used(), **self._renderer.variables_used()}

    def compose(
        self,
        variables: Mapping[str, Any],
        *,
        email: str,
        message_id: str,
        date: datetime,
        token: str | None,
        unsubscribe: str | None = None,
        renewal: str | None = None,
        eight_bit: bool = False,
    ) -> Message:
        """Return the message for one recipient.

        Args:
            variables: the recipient's columns by name.
            email: the recipient's address.
            message_id: the Message-ID with its angle brackets.
            date: an aware datetime.
            token: the sign-in token; required if the campaign has a link.
            unsubscribe: the token of the unsubscribe link; required if the campaign has one.
            renewal: the tag by which the recipient asks for a new link; required if the campaign's links carry one.
            eight_bit: whether the server accepts 8bit bodies (RFC 6152).

        Raises:
            TemplateError: a template is wrong, or the rendered message does not contain a link; the text names the
                template's file and line and never contains the token.
            RowError: only these variables, this address or a file of this recipient make the message impossible.
            ValueError: the Message-ID is malformed, or a token or a tag is missing.
        """
        unsubscribe_link, fields = self._unsubscribe_parts(unsubscribe)
        data = LinkData(token, email, unsubscribe_link, renewal)
        subject, html, text, links, made_links, images = self._renderer.render(variables, data)
        files = self._attachments.of(variables, images)
        pieces = self._mime.fill(
            to=email,
            subject=subject,
            date=date,
            message_id=message_id,
            text=text,
            html=html,
            eight_bit=eight_bit,
            unsubscribe=fields,
            images=[file.part for file in files.images],
            attachments=[file.part for file in files.attachments],
        )
        return Message(pieces, subject, html, text, links, made_links, (*files.images, *files.attachments))

    def require_files(self, variables: Mapping[str, Any]) -> None:
        """Check that one recipient's attachments are there, without reading them.

        Raises:
            RowError, TemplateError: see `compose`.
        """
        self._attachments.require(variables)

    def check(
        self,
        variables: Mapping[str, Any],
        *,
        email: str,
        message_id: str,
        date: datetime,
        token: str | None,
        unsubscribe: str | None = None,
        renewal: str | None = None,
    ) -> None:
        """Render one recipient's templates and headers as `compose` does, at half its cost.

        It skips steps that seldom fail: it does not inline CSS, make a text part from the HTML, or encode the bodies.
        It looks for no file of the recipient: a row without its file is skipped when its turn comes.

        Raises:
            TemplateError, ValueError: see `compose`.
        """
        unsubscribe_link, fields = self._unsubscribe_parts(unsubscribe)
        subject = self._renderer.check(variables, LinkData(token, email, unsubscribe_link, renewal))
        self._attachments.render(variables)
        self._mime.headers(to=email, subject=subject, date=date, message_id=message_id, unsubscribe=fields)

    def _unsubscribe_parts(self, token: str | None) -> tuple[str | None, bytes]:
        """Return the unsubscribe link and the headers that announce it; nothing if the campaign has none."""
        if self._unsubscribe is None:
            return None, b""
        if not token:
            raise ValueError("This campaign has an unsubscribe link, so every message needs its token.")
        return self._unsubscribe.to(token), self._unsubscribe.headers(token)


def list_id(name: str, sender: str) -> str:
    """Return the List-Id (RFC 2919 §2) of a campaign: its name, made a valid label, before the sender's host.

    Raises:
        ValueError: the sender is not one mailbox.
    """
    host = split_mailbox(sender)[1].rpartition("@")[2]
    label = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "campaign"
    return f"<{label[:128]}.{host}>"
