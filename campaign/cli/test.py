"""`campaign test`: send one real email to an address of your own."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

import click

from campaign.cli.group import FILE, LOCALE, RECIPIENTS, SANDBOX, STEP, awaited, commands, echo, loaded
from campaign.errors import (
    CampaignError,
    CannotStartError,
    DeliveryError,
    PermanentError,
    TransientError,
    UncertainError,
)

#: What to do after a test mail failed, by the error.
_AFTER_A_TEST: dict[type[DeliveryError], str] = {
    TransientError: "Nothing was sent; run the same command again later",
    PermanentError: "Nothing was sent; fix the cause, or name another address with --to",
    UncertainError: "It may have been sent; look into the inbox before you run the command again",
}


@commands.command()
@FILE
@click.option("--to", required=True, metavar="ADDRESS", help="The address to send to: one of yours.")
@click.option("--user-id", help="Put a real token of this Clerk user into the link.")
@STEP
@LOCALE
@RECIPIENTS
@SANDBOX
def test(
    file: Path,
    to: str,
    user_id: str | None,
    recipients: Path | None,
    *,
    step: str | None,
    locale: str | None,
    sandbox: bool,
) -> None:
    """Send one real email to yourself.

    It is made from the first recipient's row. Its link has a dummy token, unless --user-id names a Clerk user.
    """
    from campaign.delivery.single_message import send_test  # noqa: PLC0415
    from campaign.message.dkim.signer import UNSIGNED  # noqa: PLC0415

    definition, settings = loaded(file, recipients)
    try:
        receipt, services = awaited(
            send_test(definition, settings, to, user_id=user_id, sandbox=sandbox, step=step, locale=locale)
        )
    except ValueError as error:
        raise CannotStartError(f"--to {to}: {error}") from None
    except DeliveryError as error:
        raise CampaignError(f"{error}. {_AFTER_A_TEST[type(error)]}") from None
    whose = f"a token of {user_id}" if user_id and definition.link else "a dummy token that cannot be used to sign in"
    echo(f"Sent to {to} through {services.smtp.label} ({receipt}). Its link contains {whose}.")
    if definition.dkim and settings.dkim_key is None:
        echo(f"{UNSIGNED}.")
    if services.maildir is not None:
        echo(f"This is the sandbox: the mail is in {services.maildir}/new.")
