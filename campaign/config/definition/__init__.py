"""The campaign file, loaded; its problems are told all at once. What a section may say is not here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from campaign.config.definition import rules
from campaign.config.definition.sections import (
    DkimSection,
    EmailSection,
    LimitsSection,
    LinkSection,
    RecipientsSection,
    RetrySection,
    Section,
)
from campaign.config.definition.toml_file import problems_of, read_toml
from campaign.config.duration import parse_duration
from campaign.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Definition",
    "DkimSection",
    "EmailSection",
    "LimitsSection",
    "LinkSection",
    "RecipientsSection",
    "RetrySection",
    "load_definition",
    "parse_duration",
]


class _CampaignFile(Section):
    """What the file itself can say."""

    #: The campaign's identity in the send log and in List-Id.
    name: str
    recipients: RecipientsSection
    email: EmailSection
    #: None: no token is asked for.
    link: LinkSection | None = None
    limits: LimitsSection = LimitsSection()
    retry: RetrySection = RetrySection()
    #: None: nothing is signed here.
    dkim: DkimSection | None = None

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
            # told of the key that is wrong, not of the section
            fault = PydanticCustomError("value_error", "{sentence}", {"sentence": str(error)})
            details = InitErrorDetails(type=fault, loc=("domain",), input=dkim.domain)
            raise ValidationError.from_exception_data("dkim", [details]) from None
        return dkim.model_copy(update={"domain": domain})


class Definition(_CampaignFile):
    """A campaign, as its file says."""

    #: The campaign file, as it was named.
    path: Path

    @property
    def folder(self) -> Path:
        """The folder that the templates are loaded from."""
        return self.path.parent

    def template_name(self, template: Path) -> str:
        """Return a template's name for a loader rooted at `folder`, such as `parts/foot.html`."""
        return Path(os.path.relpath(template, self.folder)).as_posix()


#: The names that each section may hold.
_KNOWN: Mapping[tuple[str, ...], list[str]] = {
    (): list(_CampaignFile.model_fields),
    **{
        (name,): [field.alias or key for key, field in section.model_fields.items()]
        for name, section in (
            ("recipients", RecipientsSection),
            ("email", EmailSection),
            ("link", LinkSection),
            ("limits", LimitsSection),
            ("retry", RetrySection),
            ("dkim", DkimSection),
        )
    },
}

#: What to add where something is missing.
_EXAMPLES: Mapping[tuple[str, ...], str] = {
    ("name",): 'name = "waitlist-welcome" at the top',
    ("recipients",): 'a section [recipients] with file = "waitlist.csv"',
    ("recipients", "file"): 'file = "waitlist.csv", or give --recipients',
    ("email",): "a section [email] with from, subject and html",
    ("email", "from"): 'from = "Acme <hello@acme.example>"',
    ("email", "subject"): 'subject = "You\'re in"',
    ("email", "html"): 'html = "email.html"',
    ("link", "url"): 'url = "https://acme.example/welcome"',
    ("link", "expires_in"): 'expires_in = "48h"',
    ("dkim", "selector"): 'selector = "s1"',
}


def load_definition(path: Path, *, recipients: Path | None = None) -> Definition:
    """Return the campaign that a file describes; the templates it names exist, the CSV may not.

    Args:
        path: the campaign file. Paths in it are found from its folder.
        recipients: the CSV to take instead of the file's own, found from the working directory.

    Raises:
        DefinitionError: one line, `file:line: sentence`, for each problem of the file.
    """
    data, text = read_toml(path)
    if recipients is not None:
        section = data.setdefault("recipients", {})
        if isinstance(section, dict):
            section["file"] = recipients
    # Raised behind the `except`, so that pydantic's own error is no part of the traceback.
    try:
        found = _CampaignFile.model_validate(data, context=path.parent, by_alias=True, by_name=False)
        return Definition(path=path, **{name: getattr(found, name) for name in _CampaignFile.model_fields})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    problems = problems_of(path, text, faults, known=_KNOWN, examples=_EXAMPLES)
    raise DefinitionError("\n".join(map(str, problems)))
