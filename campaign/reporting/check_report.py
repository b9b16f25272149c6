"""Check a campaign without sending anything or calling a service: `check_campaign`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.config.size import size_text
from campaign.delivery.services import needs_user_id
from campaign.errors import AttachmentError, CampaignError, Problem, TemplateError
from campaign.message import MessageTemplate
from campaign.message.dkim.signer import UNSIGNED, key_of
from campaign.message.dry_run import compose_row
from campaign.model import InvalidRow
from campaign.recipients import read_recipients
from campaign.reporting.summary import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings

#: At most this many problems or warnings are listed; the others are only counted.
_MAX_LISTED = 20


@dataclass(slots=True)
class CheckReport:
    """The result of a check."""

    definition: Definition
    #: These prevent a run.
    problems: list[str] = field(default_factory=list)
    #: These do not prevent a run.
    warnings: list[str] = field(default_factory=list)
    #: The DKIM domain and the DNS record to publish.
    signing: list[str] = field(default_factory=list)
    #: The template files that were read.
    templates: list[str] = field(default_factory=list)
    #: The attachments and images that go with every mail.
    files: list[str] = field(default_factory=list)
    #: The bytes of the files of the mail with the largest files, and its line in the CSV.
    largest_files: tuple[int, int] = (0, 0)
    recipients: int = 0
    skipped: int = 0

    def lines(self) -> Iterator[str]:
        """Yield the lines that `campaign check` prints."""
        for kind, found in (("problem", self.problems), ("warning", self.warnings)):
            for line in found[:_MAX_LISTED]:
                yield f"{kind}: {line}"
            if len(found) > _MAX_LISTED:
                yield f"{kind}: and {len(found) - _MAX_LISTED:,} more."
        if self.templates:
            yield f"templates: {', '.join(self.templates)}"
        if self.files:
            yield f"files: {', '.join(self.files)}"
        size, row = self.largest_files
        if size:
            yield f"files: at most {size_text(size)} in a mail, on line {row} of the CSV"
        yield from self.signing
        name = self.definition.name
        if self.problems:
            yield f"{name}: {number(len(self.problems), 'problem')}; fix these before you send."
        else:
            skipped = f", {number(self.skipped, 'row')} skipped" if self.skipped else ""
            yield f"{name}: {number(self.recipients, 'email')} can be rendered{skipped}. Nothing was sent."


def check_campaign(definition: Definition, settings: Callable[[], Settings]) -> CheckReport:
    """Read the CSV, render every row, and return all problems and warnings.

    Args:
        definition: the campaign file.
        settings: returns the settings from the environment; a CampaignError that it raises becomes a problem.
    """
    found = CheckReport(definition)
    try:
        template: MessageTemplate | None = MessageTemplate.load(definition)
        found.templates = template.files if template else []
        found.files = list(map(str, template.shared_files)) if template else []
    except CampaignError as error:
        template = None
        found.problems += str(error).splitlines()
    try:
        _examine_rows(found, template)
    except CampaignError as error:
        found.problems += str(error).splitlines()
    if not definition.limits.messages:
        unlimited = (
            "[limits] messages is missing: campaign sends as fast as the server accepts; to limit it, write a rate"
        )
        found.warnings.append(str(Problem(definition.path, f'{unlimited}, such as messages = "14/second"')))
    try:
        _examine_signing(found, settings())
    except CampaignError as error:
        found.problems += str(error).splitlines()
    return found


def _examine_signing(found: CheckReport, settings: Settings) -> None:
    definition = found.definition
    key = key_of(definition, settings, sandbox=settings.smtp is None)
    if definition.dkim is None:
        if settings.dkim_key is not None:
            found.signing.append("DKIM: nothing is signed; CAMPAIGN_DKIM_KEY is set, but the campaign has no [dkim].")
        return
    if key is None:
        found.warnings.append(
            str(Problem(definition.path, f"{UNSIGNED}; the sandbox does not need it, but a real run does"))
        )
        return
    if key.doubt:
        found.warnings.append(f"CAMPAIGN_DKIM_KEY: {settings.dkim_key}: {key.doubt}")
    section = definition.dkim
    found.signing += [
        f"DKIM: signed for {section.domain} with {key.algorithm}. Publish this TXT record (name, then value):",
        f"{section.selector}._domainkey.{section.domain}",
        key.record,
    ]


def _examine_rows(found: CheckReport, template: MessageTemplate | None) -> None:
    section = found.definition.recipients
    keys: dict[str, int] = {}
    addresses: dict[str, int] = {}
    for row in read_recipients(section.file, section, needs_user_id=needs_user_id(found.definition)):
        if isinstance(row, InvalidRow):
            found.skipped += 1
            found.warnings.append(str(Problem(section.file, f"skipped: {row.reason}", row.line)))
            continue
        if row.key in keys:
            found.skipped += 1
            text = f"skipped: line {keys[row.key]} has the same {section.key}"
            found.warnings.append(str(Problem(section.file, text, row.line)))
            continue
        keys[row.key] = row.line
        address = row.email.lower()
        if address in addresses:
            text = f"line {addresses[address]} has the same address under another {section.key}; both are mailed"
            found.warnings.append(str(Problem(section.file, text, row.line)))
        addresses.setdefault(address, row.line)
        if template is not None:
            try:
                message = compose_row(template, row, found.definition)
            except AttachmentError as error:
                found.skipped += 1
                found.warnings.append(str(error))
                continue
            except TemplateError as error:
                found.problems += str(error).splitlines()
            else:
                size = sum(file.size for file in message.files)
                found.largest_files = max(found.largest_files, (size, row.line), key=lambda each: each[0])
        found.recipients += 1
    if not found.recipients:
        found.problems.append(
            str(Problem(section.file, "no row can be mailed; fix the rows, or name another CSV with --recipients"))
        )
