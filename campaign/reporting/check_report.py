"""Check a campaign without sending anything or calling a service: `check_campaign`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.audience import Audience
from campaign.compliance.finding import Severity
from campaign.compliance.sender import review_sender
from campaign.config.definition.timing_warnings import timing_warnings
from campaign.config.definition.toml_file import place_of
from campaign.config.recheck_key import recheck_key_of
from campaign.config.size import size_text
from campaign.delivery.services import needs_user_id
from campaign.delivery.waitlist import is_sample, written_down
from campaign.errors import CampaignError, Problem
from campaign.message.dkim.signer import UNSIGNED, key_of
from campaign.message.variants import CampaignMessages
from campaign.recipients import read_recipients
from campaign.reporting.row_review import RowReview
from campaign.reporting.summary import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from campaign.compliance.finding import Finding
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.message.dkim.key import SigningKey

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
    #: How the page behind the links is made so that a dead one can be replaced; empty if none can be.
    renewal: str = ""
    #: The attachments and images that go with every mail.
    files: list[str] = field(default_factory=list)
    #: The bytes of the files of the mail with the largest files, and its line in the CSV.
    largest_files: tuple[int, int] = (0, 0)
    recipients: int = 0
    skipped: int = 0
    #: How many rows are outside `[recipients] where`, as a sentence; empty if none is.
    audience: str = ""
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
        yield from self._contents()
        yield from self.signing
        if self.audience:
            yield f"recipients: {self.audience}"
        name = self.definition.name
        if self.problems:
            yield f"{name}: {number(len(self.problems), 'problem')}; fix these before you send."
        else:
            skipped = f", {number(self.skipped, 'row')} skipped" if self.skipped else ""
            steps = len(self.definition.step_names)
            each = f", one for each of {steps} steps" if steps > 1 else ""
            emails = number(self.recipients * steps, "email")
            yield f"{name}: {emails} can be rendered{each}{skipped}. Nothing was sent."

    def _contents(self) -> Iterator[str]:
        """Yield the lines about what the mails are made of, and where their links lead."""
        if self.templates:
            yield f"templates: {', '.join(self.templates)}"
        if self.links:
            yield f"links: {self.links}"
        if self.renewal:
            yield f"links: {self.renewal}"
        if self.files:
            yield f"files: {', '.join(self.files)}"
        size, row = self.largest_files
        if size:
            yield f"files: at most {size_text(size)} in a mail, on line {row} of the CSV"


def check_campaign(definition: Definition, settings: Callable[[], Settings]) -> CheckReport:
    """Read the CSV, render every row, and return all problems and warnings.

    Args:
        definition: the campaign file.
        settings: returns the settings from the environment; a CampaignError that it raises becomes a problem.
    """
    found = CheckReport(definition)
    try:
        messages: CampaignMessages | None = CampaignMessages.load(definition)
        for variant in messages or ():
            found.templates = sorted({*found.templates, *variant.template.files})
            found.files = list(dict.fromkeys([*found.files, *map(str, variant.template.shared_files)]))
    except CampaignError as error:
        messages = None
        found.problems += str(error).splitlines()
    if not definition.limits.messages:
        unlimited = (
            "[limits] messages is missing: campaign sends as fast as the server accepts; to limit it, write a rate"
        )
        found.warnings.append(str(Problem(definition.path, f'{unlimited}, such as messages = "14/second"')))
    given: Settings | None = None
    try:
        given = settings()
    except CampaignError as error:
        found.problems += str(error).splitlines()
    else:
        _examine_keys(found, given)
    _examine_source(found, given)
    _examine_renewal(found)
    found.warnings += map(str, timing_warnings(definition))
    found.add(dict.fromkeys(finding for each in definition.variants for finding in review_sender(each, found.key)))
    try:
        _examine_rows(found, messages)
    except CampaignError as error:
        found.problems += str(error).splitlines()
    return found


def _examine_source(found: CheckReport, settings: Settings | None) -> None:
    """Take the waitlist as the last run wrote it down, or one made-up entry."""
    definition = found.definition = written_down(found.definition, settings, asked=False)
    if is_sample(definition):
        found.not_checked.append(
            f"{definition.path}: no run has read Clerk's waitlist yet, so one made-up entry was rendered instead."
        )
    if definition.recipients.create_users and not any(variant.link for variant in definition.variants):
        place = place_of(definition.path, ("recipients", "create_users"))
        found.warnings.append(f"{place}: no mail has a link, so no user is made; add [link], or leave it out.")


def _examine_renewal(found: CheckReport) -> None:
    definition = found.definition
    if not definition.renews:
        return
    if definition.renewal_url is not None:
        made = f"campaign landing --renew {definition.renewal_url}"
        found.renewal = f"a dead one can be replaced by the page that this makes: {made}"
        return
    place = place_of(definition.path, ("link", "renew"))
    found.warnings.append(
        f"{place}: renew needs a page that knows where `campaign serve` is reached, which [unsubscribe] url would say; "
        "without it, make the page with: campaign landing --renew https://mail.acme.example/renew"
    )


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


def _examine_rows(found: CheckReport, messages: CampaignMessages | None) -> None:
    definition = found.definition
    section = definition.recipients
    audience: Audience | None = None
    try:
        audience = Audience(definition)
    except CampaignError as error:
        found.problems += str(error).splitlines()
    review = RowReview(definition, messages)
    rows = read_recipients(section.file, section, needs_user_id=needs_user_id(definition))
    try:
        for row in audience.select(rows) if audience else rows:
            review.examine(row)
    finally:
        _take_over(found, review)
    found.audience = audience.sentence if audience else ""
    if found.recipients:
        return
    if audience and audience.outside and not found.skipped:
        found.warnings.append(str(Problem(section.file, f"nobody would be mailed: {found.audience}")))
    else:
        found.problems.append(
            str(Problem(section.file, "no row can be mailed; fix the rows, or name another CSV with --recipients"))
        )


def _take_over(found: CheckReport, review: RowReview) -> None:
    """Add what was found in the rows to the report."""
    found.recipients, found.skipped = review.recipients, review.skipped
    found.largest, found.largest_files = review.largest, review.largest_files
    found.first_links, found.links = review.first_links, review.links
    found.problems += review.problems()
    found.warnings += review.warnings(found.templates)
