"""Load a campaign file and report all its problems at once: `load_definition`. `sections.py` defines the sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.config.definition.attachment_section import AttachmentSection
from campaign.config.definition.campaign import CampaignSections, Definition
from campaign.config.definition.limits_section import LimitsSection
from campaign.config.definition.reading import read_campaign
from campaign.config.definition.schedule_section import RecheckSection, ScheduleSection
from campaign.config.definition.sections import (
    DkimSection,
    EmailSection,
    LinkSection,
    RecipientsSection,
    RetrySection,
)
from campaign.config.definition.toml_file import line_of, problems_of, read_toml
from campaign.config.definition.unsubscribe import UnsubscribeSection
from campaign.config.definition.variants import LAYERED, OWNERS
from campaign.errors import DefinitionError, Problem
from campaign.schedule.duration import parse_duration

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.config.definition.section import Section

__all__ = [
    "AttachmentSection",
    "Definition",
    "DkimSection",
    "EmailSection",
    "LimitsSection",
    "LinkSection",
    "RecheckSection",
    "RecipientsSection",
    "RetrySection",
    "ScheduleSection",
    "UnsubscribeSection",
    "load_definition",
    "parse_duration",
]

_SECTIONS: dict[str, type[Section]] = {
    **LAYERED,
    "recipients": RecipientsSection,
    "limits": LimitsSection,
    "retry": RetrySection,
    "dkim": DkimSection,
    "unsubscribe": UnsubscribeSection,
}
#: The keys of each section.
_KNOWN: dict[tuple[str, ...], list[str]] = {
    (): [*CampaignSections.model_fields, *LAYERED, "steps", "locales"],
    ("email", "attachments"): list(AttachmentSection.model_fields),
    **{
        (name,): [field.alias or key for key, field in section.model_fields.items()]
        for name, section in _SECTIONS.items()
    },
}

#: What to add if a key or section is missing.
_EXAMPLES: dict[tuple[str, ...], str] = {
    ("name",): 'name = "waitlist-welcome" at the top',
    ("recipients",): 'a section [recipients] with file = "waitlist.csv"',
    ("recipients", "file"): 'file = "waitlist.csv", or clerk = "waitlist", or give --recipients',
    ("email",): "a section [email] with from, subject and html",
    ("email", "from"): 'from = "Acme <hello@acme.example>"',
    ("email", "subject"): 'subject = "You\'re in"',
    ("email", "html"): 'html = "email.html"',
    ("email", "attachments", "path"): 'path = "terms.pdf"',
    ("link", "url"): 'url = "https://acme.example/welcome"',
    ("link", "expires_in"): 'expires_in = "48h"',
    ("unsubscribe", "url"): 'url = "https://mail.acme.example/u"',
    ("dkim", "selector"): 'selector = "s1"',
    ("steps", "name"): 'name = "first"',
    ("locales", "column"): 'column = "locale"',
    ("locales", "default"): 'default = "en", the language of [email]',
}
#: The same for the keys of a step.
_STEP_EXAMPLES = {
    ("steps", key): _EXAMPLES[section, key] for key, section in OWNERS.items() if (section, key) in _EXAMPLES
}

_NO_CSV = "the recipients are Clerk's waitlist, so leave --recipients out; or write file = … instead of clerk."


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
            if section.get("clerk") is not None:
                where = Problem(path, _NO_CSV, line_of(text, ("recipients", "clerk")))
                raise DefinitionError(str(where))
            section["file"] = recipients
    found = read_campaign(path, data)
    if found.definition is not None:
        return found.definition
    problems = problems_of(path, text, found.faults, known=_KNOWN | found.known, examples=_EXAMPLES | _STEP_EXAMPLES)
    raise DefinitionError("\n".join(map(str, problems)))
