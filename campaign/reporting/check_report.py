"""Check a campaign without sending anything or calling a service: `check_campaign`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.compliance.content import ContentReview
from campaign.compliance.finding import Severity
from campaign.compliance.sender import review_sender
from campaign.config.definition.timing_warnings import timing_warnings
from campaign.config.recheck_key import recheck_key_of
from campaign.config.size import size_text
from campaign.delivery.services import needs_user_id
from campaign.errors import CampaignError, Problem, TemplateError
from campaign.message import MessageTemplate
from campaign.message.dkim.signer import UNSIGNED, key_of
from campaign.message.dry_run import RowFaults, compose_row
from campaign.message.row_groups import RowGroups
from campaign.message.warnings import MessageWarnings
from campaign.model import InvalidRow
from campaign.recipients import read_recipients
from campaign.reporting.summary import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from campaign.compliance.finding import Finding
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.message.dkim.key import SigningKey
    from campaign.model import Recipient

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
    #: What could not be seen from here, and why.
    not_checked: list[str] = field(default_factory=list)
    #: What was asked for and is right.
    passed: list[str] = field(default_factory=list)
    #: The DKIM domain and the DNS record to publish.
    signing: list[str] = field(default_factory=list)
    #: The template files that were read.
    templates: list[str] = field(default_factory=list)
    #: Where the links lead that `link_to` makes from columns; empty if there is none.
    links: str = ""
    #: The attachments and images that go with every mail.
    files: list[str] = field(default_factory=list)
    #: The bytes of the files of the mail with the largest files, and its line in the CSV.
    largest_files: tuple[int, int] = (0, 0)
    recipients: int = 0
    skipped: int = 0
    #: The size of the largest message in bytes.
    largest: int = 0
    #: The links of the first message, with the token of a check.
    first_links: tuple[str, ...] = ()
    #: The key that signs the mails; None if they are not signed here.
    key: SigningKey | None = None

    def add(self, findings: Iterable[Finding]) -> None:
        """Sort findings into the lists by their severity."""
        lists = {
            Severity.PROBLEM: self.problems,
            Severity.WARNING: self.warnings,
            Severity.NOT_CHECKED: self.not_checked,
            Severity.PASSED: self.passed,
        }
        for finding in findings:
            lists[finding.severity].append(str(finding))

    def lines(self) -> Iterator[str]:
        """Yield the lines that `campaign check` prints."""
        for kind, found in (
            (Severity.PROBLEM, self.problems),
            (Severity.WARNING, self.warnings),
            (Severity.NOT_CHECKED, self.not_checked),
            (Severity.PASSED, self.passed),
        ):
            for line in found[:_MAX_LISTED]:
                yield f"{kind}: {line}"
            if len(found) > _MAX_LISTED:
                yield f"{kind}: and {len(found) - _MAX_LISTED:,} more."
        if self.templates:
            yield f"templates: {', '.join(self.templates)}"
        if self.links:
            yield f"links: {self.links}"
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
    if not definition.limits.messages:
        unlimited = (
            "[limits] messages is missing: campaign sends as fast as the server accepts; to limit it, write a rate"
        )
        found.warnings.append(str(Problem(definition.path, f'{unlimited}, such as messages = "14/second"')))
    try:
        given = settings()
    except CampaignError as error:
        found.problems += str(error).splitlines()
    else:
        _examine_keys(found, given)
    found.warnings += map(str, timing_warnings(definition))
    found.add(review_sender(definition, found.key))
    try:
        _examine_rows(found, template)
    except CampaignError as error:
        found.problems += str(error).splitlines()
    return found


def _examine_keys(found: CheckReport, settings: Settings) -> None:
    try:
        found.key = _examine_signing(found, settings)
    except CampaignError as error:
        found.problems += str(error).splitlines()
    try:
        recheck_key_of(found.definition, settings)
    except CampaignError as error:
        found.problems += str(error).splitlines()


def _examine_signing(found: CheckReport, settings: Settings) -> SigningKey | None:
    definition = found.definition
    key = key_of(definition, settings, sandbox=settings.smtp is None)
    if definition.dkim is None:
        if settings.dkim_key is not None:
            found.signing.append("DKIM: nothing is signed; CAMPAIGN_DKIM_KEY is set, but the campaign has no [dkim].")
        return None
    if key is None:
        found.warnings.append(
            str(Problem(definition.path, f"{UNSIGNED}; the sandbox does not need it, but a real run does"))
        )
        return None
    if key.doubt:
        found.warnings.append(f"CAMPAIGN_DKIM_KEY: {settings.dkim_key}: {key.doubt}")
    section = definition.dkim
    found.signing += [
        f"DKIM: signed for {section.domain} with {key.algorithm}. Publish this TXT record (name, then value):",
        f"{section.selector}._domainkey.{section.domain}",
        key.record,
    ]
    return key


def _examine_rows(found: CheckReport, template: MessageTemplate | None) -> None:
    section = found.definition.recipients
    rows = _Rows(found, template)
    try:
        for row in read_recipients(section.file, section, needs_user_id=needs_user_id(found.definition)):
            rows.examine(row)
    finally:
        rows.report()
    if not found.recipients:
        found.problems.append(
            str(Problem(section.file, "no row can be mailed; fix the rows, or name another CSV with --recipients"))
        )


class _Rows:
    """Examines the rows of a CSV, and says once what is the same for many of them."""

    def __init__(self, found: CheckReport, template: MessageTemplate | None) -> None:
        file = found.definition.recipients.file
        self._found = found
        self._template = template
        self._faults = RowFaults(file)
        self._skipped = RowGroups(file)
        self._shared = RowGroups(file)
        self._warnings = MessageWarnings(template, file) if template else None
        self._content = ContentReview(found.definition)
        #: The line of each key, and of each address.
        self._keys: dict[str, int] = {}
        self._addresses: dict[str, int] = {}

    def examine(self, row: Recipient | InvalidRow) -> None:
        """Examine one row."""
        key_column = self._found.definition.recipients.key
        if isinstance(row, InvalidRow):
            self._skip(row.reason, row.line)
        elif row.key in self._keys:
            self._skip(f"line {self._keys[row.key]} has the same {key_column}", row.line)
        elif self._can_be_rendered(row):
            self._keys[row.key] = row.line
            address = row.email.lower()
            if address in self._addresses:
                line = self._addresses[address]
                self._shared.add(
                    f"line {line} has the same address under another {key_column}; both are mailed", row.line
                )
            self._addresses.setdefault(address, row.line)
            self._found.recipients += 1

    def report(self) -> None:
        """Add what was found to the report."""
        self._found.problems += self._faults.of_templates.lines()
        if self._warnings:
            self._found.warnings += self._warnings.lines()
            self._found.links = self._warnings.paths
        self._found.largest, self._found.first_links = self._content.largest, self._content.links
        self._found.add(self._content.findings(self._found.templates))
        self._found.warnings += self._shared.lines()
        self._found.warnings += self._skipped.lines()

    def _can_be_rendered(self, row: Recipient) -> bool:
        if self._template is None or self._warnings is None or self._faults.is_hopeless:
            return True
        try:
            message = compose_row(self._template, row, self._found.definition)
        except TemplateError as error:
            invalid = self._faults.add(row, error)
            if invalid is None:
                return True
            self._skip(invalid.reason, row.line)
            return False
        self._faults.note_success()
        self._warnings.examine(row, message)
        self._content.note(row.line, message)
        size = sum(file.size for file in message.files)
        self._found.largest_files = max(self._found.largest_files, (size, row.line), key=lambda each: each[0])
        return True

    def _skip(self, reason: str, line: int) -> None:
        self._found.skipped += 1
        self._skipped.add(f"skipped: {reason}", line)
