"""Refuse a step for real that the operator did not clearly ask for: `require_consent`, `confirmation`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from campaign.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.services import Services


def require_consent(definition: Definition, settings: Settings, *, sandbox: bool, yes: bool, verb: str) -> bool:
    """Return whether the command uses the sandbox, which needs no consent.

    Args:
        definition: the campaign file.
        settings: the settings.
        sandbox: `--sandbox` was typed.
        yes: `--yes` was typed.
        verb: what the command does, such as `send`.

    Raises:
        CannotStartError: without settings `--yes` would mean the sandbox, where it was meant for real; or there is
            neither `--yes` nor a terminal to ask on.
        SettingsError: the settings do not fit together.
    """
    from campaign.delivery.services import is_sandbox  # noqa: PLC0415

    if yes and not sandbox and settings.clerk_secret_key is None and settings.smtp is None:
        looked = f"in {settings.dotenv}" if settings.dotenv else "in a .env beside the campaign file or here"
        raise CannotStartError(
            f"--yes is to {verb} for real, but neither CLERK_SECRET_KEY nor CAMPAIGN_SMTP_URL is set, in the "
            f"environment or {looked}. Set both, or type --sandbox instead of --yes."
        )
    in_sandbox = is_sandbox(definition, settings, asked=sandbox)
    if not (yes or in_sandbox or sys.stdin.isatty()):
        raise CannotStartError(f"this would {verb} for real, and there is no terminal to ask on: add --yes to go on.")
    return in_sandbox


def confirmation(
    definition: Definition, settings: Settings, *, sandbox: bool, yes: bool, question: Callable[[int], str]
) -> Callable[[int, Services], bool]:
    """Return a function that asks before links are revoked, and returns whether to go on.

    In the sandbox, and with `--yes`, it asks nothing.

    Args:
        definition: the campaign file.
        settings: the settings.
        sandbox: `--sandbox` was typed.
        yes: `--yes` was typed.
        question: returns the question for a number of links.

    Raises:
        CannotStartError: see `require_consent`.
    """
    free = require_consent(definition, settings, sandbox=sandbox, yes=yes, verb="revoke links") or yes

    def confirmed(number: int, services: Services) -> bool:
        from campaign.reporting.progress import console  # noqa: PLC0415
        from campaign.reporting.question import said_yes  # noqa: PLC0415

        return free or said_yes(console(), f"The send log is {services.log}. {question(number)}")

    return confirmed
