"""Read a campaign file as it is now, `CampaignVersion.load`, and refuse files that cannot be watched together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from campaign.config.definition import load_definition
from campaign.delivery.outbound import SharedRates
from campaign.delivery.services import is_sandbox, real_services, refuse_second_log, sandbox_log
from campaign.errors import DefinitionError, SettingsError
from campaign.message.variants import CampaignMessages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.services import Services
    from campaign.sendlog import LogLocation


@dataclass(frozen=True, slots=True)
class CampaignVersion:
    """A campaign file as it was read once, with its templates compiled."""

    definition: Definition
    messages: CampaignMessages
    #: Those of the environment when the watch began: a change of them needs a restart.
    settings: Settings

    @classmethod
    def load(cls, file: Path, settings: Settings) -> Self:
        """Read a campaign file and its templates.

        Raises:
            DefinitionError: the campaign file cannot be used.
            TemplateError: a template cannot be used.
        """
        definition = load_definition(file)
        return cls(definition, CampaignMessages.load(definition), settings)

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.definition.name

    @property
    def csv(self) -> Path | None:
        """The CSV; None if the recipients are Clerk's waitlist."""
        return None if self.definition.recipients.clerk else self.definition.recipients.file

    @property
    def sources(self) -> frozenset[Path]:
        """The campaign file and the templates and attachments that are the same for all recipients."""
        folder = self.definition.folder
        templates = [variant.template for variant in self.messages]
        names = {name for each in templates for name in (*each.files, *(file.path for file in each.shared_files))}
        return frozenset({self.definition.path, *(folder / name for name in names)})


def require_own_names(versions: Sequence[CampaignVersion]) -> None:
    """Refuse two campaign files of one name: the recipients of one would count as mailed by the other.

    Raises:
        DefinitionError: there are two.
    """
    seen: dict[str, Path] = {}
    for version in versions:
        path = version.definition.path
        if earlier := seen.get(version.name):
            raise DefinitionError(
                f"{path}: the campaign is called {version.name!r}, as that of {earlier} is. The recipients of one "
                "would count as mailed by the other: give it another name (the line name = … at its top), or name the "
                "file once."
            )
        seen[version.name] = path


def require_same_services(versions: Sequence[CampaignVersion], *, sandbox: bool) -> None:
    """Refuse campaigns whose settings name different logs, mail servers or keys; one watch has one of each.

    Args:
        versions: the campaigns.
        sandbox: `--sandbox` was typed.

    Raises:
        SettingsError: they do not go together, or another log has one of them.
        SendLogUnusableError: the log cannot be used.
    """
    first, *others = versions
    for each in others:
        a, b = first.definition.path, each.definition.path
        in_sandbox = is_sandbox(first.definition, first.settings, asked=sandbox)
        if in_sandbox != is_sandbox(each.definition, each.settings, asked=sandbox):
            raise SettingsError(
                f"by their settings one of {a} and {b} is for the sandbox and the other is for real: make the "
                "settings the same, in the environment or beside each file in .env, or watch each on its own."
            )
        if in_sandbox:
            differ = "folders of the sandbox (CAMPAIGN_SANDBOX)"
            same = sandbox_log(first.settings).resolve() == sandbox_log(each.settings).resolve()
        else:
            mine, theirs = (real_services(one.definition, one.settings) for one in (first, each))
            differ = _difference(mine, theirs)
            same = not differ
        if not same:
            raise SettingsError(
                f"{a} and {b} have different {differ}: one watch has one of each. Set it in the environment, or watch "
                "each on its own."
            )
        if not in_sandbox:
            refuse_second_log(each.definition, each.settings)


def _difference(mine: Services, theirs: Services) -> str:
    """Return what is different, for the sentence; empty if the services are the same."""
    if _absolute(mine.log) != _absolute(theirs.log):
        return f"send logs ({mine.log}, {theirs.log}; CAMPAIGN_LOG)"
    if mine.smtp != theirs.smtp:
        return "mail servers (CAMPAIGN_SMTP_URL)"
    if (mine.clerk_url, mine.clerk_key) != (theirs.clerk_url, theirs.clerk_key):
        return "secret keys of Clerk (CLERK_SECRET_KEY, CLERK_API_URL)"
    return ""


def _absolute(log: LogLocation) -> LogLocation:
    return log.resolve() if isinstance(log, Path) else log


def shared_rates(versions: Sequence[CampaignVersion], services: Services) -> SharedRates:
    """Return the rates that hold for some campaigns together."""
    return SharedRates.of([version.definition for version in versions], services)


def stricter_limits(versions: Sequence[CampaignVersion], services: Services) -> list[str]:
    """Return a sentence for each limit of `[limits]` that holds for a campaign whose own file does not say so."""
    together = _told(shared_rates(versions, services))
    alone = {version.name: _told(SharedRates.of([version.definition], services)) for version in versions}
    sentences = []
    for what, value in together.items():
        others = [name for name, own in alone.items() if own[what] not in {None, value}]
        if others:
            sentences.append(
                f"[limits] {what} is not the same in all campaigns: {value} holds for all of them, so also for "
                f"{', '.join(others)}"
            )
    return sentences


def _told(rates: SharedRates) -> dict[str, str | None]:
    """Return the limits as text; None for one that does not concern the campaign."""
    found: dict[str, str | None] = {
        "messages": ", ".join(map(str, rates.messages)) or "no limit",
        "tokens": None if rates.tokens is None else ", ".join(map(str, rates.tokens)) or "no limit",
        "connections": str(rates.connections),
    }
    return found
