"""Load a campaign file and report all its problems at once: `load_definition`. `sections.py` defines the sections."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from campaign.config.definition import rules
from campaign.config.definition.attachment_section import AttachmentSection
from campaign.config.definition.section import Section
from campaign.config.definition.sections import (
    DkimSection,
    EmailSection,
    LimitsSection,
    LinkSection,
    RecipientsSection,
    RetrySection,
)
from campaign.config.definition.toml_file import problems_of, read_toml
from campaign.config.definition.unsubscribe import UnsubscribeSection
from campaign.config.duration import parse_duration
from campaign.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AttachmentSection",
    "Definition",
    "DkimSection",
    "EmailSection",
    "LimitsSection",
    "LinkSection",
    "RecipientsSection",
    "RetrySection",
    "UnsubscribeSection",
    "load_definition",
    "parse_duration",
]


class _CampaignFile(Section):
    """The keys and sections of a campaign file."""

    #: The campaign's identity in the send log and in List-Id.
    name: str
    recipients: RecipientsSection
    email: EmailSection
    #: None: the run creates no tokens.
    link: LinkSection | None = None
    limits: LimitsSection = LimitsSection()
    retry: RetrySection = RetrySection()
    #: None: the mails are not signed.
    dkim: DkimSection | None = None
    #: None: the mails have no way out, which `check` and `run` say.
    unsubscribe: UnsubscribeSection | None = None

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        return rules.campaign_name(name)

    @field_validator("dkim")
    @classmethod
    def _aligns(cls, dkim: DkimSection | None, info: ValidationInfo) -> DkimSection | None:
        email = info.data.get("email")
        if dkim is None or email is None:
            return dkim
        try:
            domain = rules.aligned(dkim.domain, email.sender, selector=dkim.selector)
        except ValueError as error:
            # the error names the key `domain`, not the section
            fault = PydanticCustomError("value_error", "{sentence}", {"sentence": str(error)})
            details = InitErrorDetails(type=fault, loc=("domain",), input=dkim.domain)
            raise ValidationError.from_exception_data("dkim", [details]) from None
        return dkim.model_copy(update={"domain": domain})


class Definition(_CampaignFile):
    """A campaign, as its file defines it."""

    #: The campaign file's path, as the operator wrote it.
    path: Path

    @property
    def folder(self) -> Path:
        """The folder of the templates."""
        return self.path.parent

    @property
    def mailing_list(self) -> str:
        """What a recipient unsubscribes from: the campaign's list, by default the campaign itself."""
        return (self.unsubscribe and self.unsubscribe.list) or self.name

    def template_name(self, template: Path) -> str:
        """Return a template's path relative to `folder`, such as `parts/foot.html`."""
        return Path(os.path.relpath(template, self.folder)).as_posix()


#: The keys of each section.
_KNOWN: Mapping[tuple[str, ...], list[str]] = {
    (): list(_CampaignFile.model_fields),
    ("email", "attachments"): list(AttachmentSection.model_fields),
    **{
        (name,): [field.alias or key for key, field in section.model_fields.items()]
        for name, section in (
            ("recipients", RecipientsSection),
            ("email", EmailSection),
            ("link", LinkSection),
            ("limits", LimitsSection),
            ("retry", RetrySection),
            ("dkim", DkimSection),
            ("unsubscribe", UnsubscribeSection),
        )
    },
}

#: What to add if a key or section is missing.
_EXAMPLES: Mapping[tuple[str, ...], str] = {
    ("name",): 'name = "waitlist-welcome" at the top',
    ("recipients",): 'a section [recipients] with file = "waitlist.csv"',
    ("recipients", "file"): 'file = "waitlist.csv", or give --recipients',
    ("email",): "a section [email] with from, subject and html",
    ("email", "from"): 'from = "Acme <hello@acme.example>"',
    ("email", "subject"): 'subject = "You\'re in"',
    ("email", "html"): 'html = "email.html"',
    ("email", "attachments", "path"): 'path = "terms.pdf"',
    ("link", "url"): 'url = "https://acme.example/welcome"',
    ("link", "expires_in"): 'expires_in = "48h"',
    ("unsubscribe", "url"): 'url = "https://mail.acme.example/u"',
    ("dkim", "selector"): 'selector = "s1"',
}


def load_definition(path: Path, *, recipients: Path | None = None) -> Definition:
    """Return the campaign of a file; its templates must exist, its CSV need not.

    Args:
        path: the campaign file. Paths in it are relative to its folder.
        recipients: the CSV to use instead of the one in the file, relative to the working directory.

    Raises:
        DefinitionError: the file has problems; the text has one line, `file:line: sentence`, for each.
    """
    data, text = read_toml(path)
    if recipients is not None:
        section = data.setdefault("recipients", {})
        if isinstance(section, dict):
            section["file"] = recipients
    # Raised after the `except`, so that the traceback does not contain pydantic's error.
    try:
        found = _CampaignFile.model_validate(data, context=path.parent, by_alias=True, by_name=False)
        return Definition(path=path, **{name: getattr(found, name) for name in _CampaignFile.model_fields})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    problems = problems_of(path, text, faults, known=_KNOWN, examples=_EXAMPLES)
    raise DefinitionError("\n".join(map(str, problems)))
