"""Define `[[email.attachments]]`, a file that goes with the mail: `AttachmentSection`."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, field_validator

from campaign.config.definition.section import Section

if TYPE_CHECKING:
    from pathlib import Path

#: A type and a subtype (RFC 2045 §5.1, RFC 6838 §4.2), without parameters.
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
#: RFC 2045 §6.4 allows no base64 for these.
_COMPOSITE = ("multipart/", "message/")
_TEMPLATE_PART = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_EXAMPLE = 'such as "terms.pdf" or "invoices/{{ invoice }}.pdf"'


class AttachmentSection(Section):
    """`[[email.attachments]]`: one file of the campaign's folder."""

    #: The file, relative to the campaign file's folder; a template, so that each recipient can get another file.
    path: str
    #: The name that readers see, a template; None: the file's own name.
    name: str | None = None
    #: The media type; None: by the ending of the file's name.
    type: str | None = None
    #: Whether a recipient without the file is mailed without it; otherwise the row is skipped.
    optional: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether all recipients get the same file under the same name."""
        return not any("{" in text for text in (self.path, self.name or ""))

    @field_validator("path")
    @classmethod
    def _is_inside(cls, path: str, info: ValidationInfo) -> str:
        check_path(_written(path))
        if "{" not in path and info.context is not None:
            _require_file(info.context, path)
        return path

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str | None) -> str | None:
        if name is not None and (not name.strip() or not name.isprintable() or set(_written(name)) & set("/\\")):
            raise ValueError('must be the name of a file, without a folder, such as "Invoice {{ invoice }}.pdf"')
        return name

    @field_validator("type")
    @classmethod
    def _is_media_type(cls, media_type: str | None) -> str | None:
        if media_type is None:
            return None
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise ValueError('must be a media type without parameters, such as "application/pdf"')
        if media_type.lower().startswith(_COMPOSITE):
            raise ValueError(f'{media_type} cannot be attached as it is; write "application/octet-stream"')
        return media_type.lower()


def _listed(value: Any) -> Any:  # noqa: ANN401 - any value from the file
    if isinstance(value, tuple):
        return value
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError("write a section [[email.attachments]], in double brackets, with path for each file")
    return tuple(value)


#: All `[[email.attachments]]` of a campaign file.
AttachmentSections = Annotated[tuple[AttachmentSection, ...], BeforeValidator(_listed)]


def check_path(path: str) -> None:
    """Refuse a path that is not below the campaign file's folder, as far as its text shows.

    Raises:
        ValueError: the path is empty, absolute, leads upwards, or has a part that begins with a dot.
    """
    if not path.strip() or not path.isprintable():
        raise ValueError(f"must be the path of a file, {_EXAMPLE}")
    if "\\" in path:
        raise ValueError(f"must be written with slashes, {_EXAMPLE}")
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts:
        raise ValueError(f"must be a file in the campaign file's folder or below, {_EXAMPLE}; move it there")
    if any(part.startswith(".") for part in parts):
        raise ValueError("has a part that begins with a dot: hidden files hold settings and keys; rename it")


def _written(path: str) -> str:
    """Return a template with a letter in place of each variable."""
    return _TEMPLATE_PART.sub("x", path)


def _require_file(folder: Path, path: str) -> None:
    try:
        exists = (folder / path).exists()
    except OSError as error:
        raise ValueError(f"the file {folder / path} cannot be read ({error.strerror}); make it readable") from None
    if not exists:
        raise ValueError(f"the file {folder / path} does not exist; put it there, or correct the path")
