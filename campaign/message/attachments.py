"""Attach files to the messages of a campaign: `Attachments.of` returns those of one recipient, encoded.

A file that is the same for all recipients is read and encoded once, and all messages share its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from campaign.config.definition.toml_file import place_of
from campaign.config.size import size_text
from campaign.errors import RowError, TemplateError
from campaign.message import templates
from campaign.message.attached_files import AttachedFiles
from campaign.message.filters import shown
from campaign.message.mime.file_part import content_id, file_part, media_type_of
from campaign.message.mime.headers import one_line
from campaign.message.template_errors import explained
from campaign.message.template_names import names_used

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from jinja2 import Template

    from campaign.config.definition import AttachmentSection, Definition
    from campaign.message.mime.mime_template import Delimiters


@dataclass(frozen=True, slots=True)
class MailFile:
    """A file of one message."""

    #: The path relative to the campaign's folder.
    path: str
    #: The name that readers see.
    name: str
    media_type: str
    #: Bytes of the file.
    size: int
    #: Whether the HTML shows it; otherwise it is an attachment.
    inline: bool
    #: The MIME part with its delimiter line in front.
    part: bytes = field(repr=False)

    def __str__(self) -> str:
        """Return name, type and size on one line."""
        return f"{self.name} ({self.media_type}, {size_text(self.size)})"


class MailFiles(NamedTuple):
    """The files of one message."""

    images: tuple[MailFile, ...] = ()
    attachments: tuple[MailFile, ...] = ()


class Attachments:
    """The files that go with the messages of a campaign.

    Args:
        definition: the campaign.
        delimiters: the delimiter lines of the message's structure.
        domain: the domain of Content-IDs.
        images: the images that the templates name as plain text, each with the place (`file:line`) of its first use.

    Raises:
        TemplateError: a path is not a template, or a file that is the same for all cannot be attached.
    """

    def __init__(
        self, definition: Definition, delimiters: Delimiters, *, domain: str, images: Mapping[str, str]
    ) -> None:
        self._delimiters = delimiters
        self._domain = domain
        self._entries = [
            _Entry(section, definition, number) for number, section in enumerate(definition.email.attachments)
        ]
        self._definition = definition
        self._files: AttachedFiles | None = None
        self._images = {name: self._shared_image(name, where) for name, where in images.items()}
        for entry in self._entries:
            entry.shared = self._shared(entry)
        try:
            self._check_total(self.shared)
        except RowError as error:
            raise TemplateError(str(error)) from None  # the same for all rows

    def of(self, variables: Mapping[str, Any], images: Iterable[str] = ()) -> MailFiles:
        """Return the files of one recipient's message.

        Args:
            variables: the recipient's columns by name.
            images: the images that the rendered HTML shows.

        Raises:
            RowError: a file is missing, cannot be attached, or is too large.
            TemplateError: a path or a name cannot be rendered with these variables.
        """
        if not self._entries and not images:
            return MailFiles()
        found = MailFiles(
            tuple(self._images.get(name) or self._image(name) for name in dict.fromkeys(images)),
            tuple(file for entry in self._entries if (file := entry.shared or self._file(entry, variables))),
        )
        self._check_total((*found.images, *found.attachments))
        return found

    def render(self, variables: Mapping[str, Any]) -> None:
        """Render the paths and the names for one recipient; look for no file.

        Raises:
            TemplateError: one of them cannot be rendered with these variables.
        """
        for entry in self._entries:
            entry.render(variables)

    def require(self, variables: Mapping[str, Any]) -> None:
        """Check that one recipient's attachments are there, without reading them.

        Raises:
            RowError, TemplateError: see `of`.
        """
        for entry in self._entries:
            if entry.shared is None and (path := self._path(entry, variables)):
                self._open_files().require(path)

    @property
    def fingerprint(self) -> str:
        """A hash of the sections and of the shared files; empty if the campaign has no files."""
        if not self._entries and not self._images:
            return ""
        shared = [file.part for file in (*self._images.values(), *(e.shared for e in self._entries)) if file]
        sections = [entry.section for entry in self._entries]
        return sha256(repr((sections, [sha256(part).digest() for part in shared])).encode()).hexdigest()

    @property
    def shared(self) -> list[MailFile]:
        """The files that are the same for all recipients."""
        return [*self._images.values(), *(entry.shared for entry in self._entries if entry.shared)]

    def names_used(self) -> dict[str, str]:
        """Return the variables of the paths and names, each with the place of its first use."""
        used: dict[str, str] = {}
        for entry in self._entries:
            used = entry.names_used() | used
        return used

    def _open_files(self) -> AttachedFiles:
        if self._files is None:
            definition = self._definition
            self._files = AttachedFiles(
                definition.path.parent,
                recipients=definition.recipients.file,
                limit=definition.limits.attachments,
            )
        return self._files

    def _shared(self, entry: _Entry) -> MailFile | None:
        if not entry.section.is_fixed:
            return None
        try:
            return self._file(entry, {})
        except RowError as error:
            raise TemplateError(f"{entry.where('path')}: {error}") from None

    def _shared_image(self, name: str, where: str) -> MailFile:
        try:
            return self._image(name)
        except RowError as error:
            raise TemplateError(f"{where}: {error}") from None

    def _image(self, name: str) -> MailFile:
        media_type = media_type_of(name)
        if not media_type.startswith("image/"):
            raise RowError(f"cid({shown(name)}): This is not an image; name a .png, .jpg or .gif file.")
        return self._made(name, PurePosixPath(name).name, media_type, cid=content_id(name, self._domain))

    def _file(self, entry: _Entry, variables: Mapping[str, Any]) -> MailFile | None:
        path = self._path(entry, variables)
        if not path:
            return None
        name = entry.name(variables) or PurePosixPath(path).name
        return self._made(path, name, entry.section.type or media_type_of(name))

    def _path(self, entry: _Entry, variables: Mapping[str, Any]) -> str:
        """Return the path for one recipient; empty if the recipient gets no such file."""
        path = entry.path(variables)
        if not path and not entry.section.optional:
            raise RowError(f"{entry.where('path')}: The path of the attachment is empty for this row.")
        if path and entry.section.optional and not self._open_files().exists(path):
            return ""
        return path

    def _made(self, path: str, name: str, media_type: str, *, cid: str = "") -> MailFile:
        content = self._open_files().read(path)
        delimiter = self._delimiters.related if cid else self._delimiters.mixed
        try:
            part = file_part(content, name=name, media_type=media_type, delimiter=delimiter, cid=cid)
        except ValueError as error:
            raise RowError(f"{self._open_files().path_of(path)}: {error}") from None
        return MailFile(path, name, media_type, len(content), bool(cid), part)

    def _check_total(self, files: Iterable[MailFile]) -> None:
        size = sum(len(file.part) for file in files)
        if size and size > (limit := self._definition.limits.attachments):
            raise RowError(
                f"{self._definition.path}: The attachments and images of this mail have {size_text(size)} as they are "
                f"sent (base64 adds a third), but at most {size_text(limit)} are allowed; make them smaller, link to "
                "them, or raise [limits] attachments."
            )


class _Entry:
    """One `[[email.attachments]]` with its compiled templates."""

    def __init__(self, section: AttachmentSection, definition: Definition, number: int) -> None:
        self.section = section
        #: The encoded file if it is the same for all recipients.
        self.shared: MailFile | None = None
        self._definition = definition
        self._number = number
        self._path = self._compiled("path", section.path)
        self._name = self._compiled("name", section.name) if section.name else None

    def where(self, key: str) -> str:
        """Return the place of a key for error texts."""
        place = place_of(self._definition.path, ("email", "attachments", self._number, key))
        return f"{place}: email.attachments.{key}"

    def path(self, variables: Mapping[str, Any]) -> str:
        """Return the path for one recipient."""
        return self._rendered("path", self._path, variables)

    def name(self, variables: Mapping[str, Any]) -> str:
        """Return the name for one recipient, on one line; empty if the section has none."""
        return one_line(self._rendered("name", self._name, variables)) if self._name else ""

    def render(self, variables: Mapping[str, Any]) -> None:
        """Render both."""
        self.path(variables)
        self.name(variables)

    def names_used(self) -> dict[str, str]:
        """Return the variables that are used, each with its place."""
        keys = {"path": self.section.path, "name": self.section.name or ""}
        return {
            name: self.where(key)
            for key, source in keys.items()
            for name in names_used(templates.parse(templates.environment(), source, key))
        }

    def _compiled(self, key: str, source: str) -> Template:
        return templates.compile_source(templates.environment(), source, self.where(key))

    def _rendered(self, key: str, template: Template, variables: Mapping[str, Any]) -> str:
        try:
            return templates.render(template, {**template.globals, **variables})
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            raise explained(error, variables, self.where(key)) from None
