"""What a watch says and asks before it sends: `StartReport`, `start_notices`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.delivery.preparing import clock_notice
from campaign.errors import SettingsError
from campaign.message.dkim.signer import UNSIGNED, signer_of
from campaign.watching.version import stricter_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.delivery.observer import Plan
    from campaign.delivery.services import Services
    from campaign.sendlog import PreparationLog
    from campaign.watching.version import CampaignVersion


class StartReport:
    """What a watch asks and says before it sends: by default it says nothing and goes on."""

    def opened(self, services: Services) -> None:
        """The servers are known."""

    def serving(self, url: str) -> None:
        """`/healthz` and `/metrics` are answered at an origin."""

    def confirm(self, plans: Sequence[Plan], notices: Sequence[str]) -> bool:  # noqa: ARG002 - for those who ask
        """Everything is enlisted and nothing is sent; return whether to go on."""
        return True


def start_notices(versions: Sequence[CampaignVersion], services: Services, log: PreparationLog) -> list[str]:
    """Return what the operator should know before anything is sent, in sentences.

    Raises:
        SettingsError: a key that a campaign needs is not set, or cannot be read.
    """
    notices = stricter_limits(versions, services)
    if told := clock_notice(log, services.clock):
        notices.append(told)
    for version in versions:
        definition, settings = version.definition, version.settings
        with signer_of(definition, settings, services.clock, sandbox=services.maildir is not None) as signer:
            if definition.dkim and signer is None:
                notices.append(f"{version.name}: {UNSIGNED}")
        asks = any(variant.recheck and variant.recheck.url for variant in definition.variants)
        if asks and settings.recheck_key is None:
            raise SettingsError(
                f"CAMPAIGN_RECHECK_KEY is not set, and {definition.path} has [recheck] url: set it to the key with "
                "which the site checks the signature of the questions."
            )
    return notices
