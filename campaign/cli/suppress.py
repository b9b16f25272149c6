"""`campaign suppress`: the addresses that get no mail, of one list or of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from campaign.cli.group import DONE, SANDBOX, UNFINISHED, commands, say, settings_of
from campaign.errors import CannotStartError, SendLogUnusableError

if TYPE_CHECKING:
    from campaign.sendlog import SuppressionList

_LIST = click.option("--list", "name", metavar="LIST", help="Only this list; without it, all lists.")
_FORM = click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
_REASON = click.option("--reason", default="by hand", show_default=True, help="Why, for the rows that are skipped.")


@commands.group(no_args_is_help=True)
def suppress() -> None:
    """Keep addresses from getting mail, of one list or of all.

    Unsubscribe links, complaints and bounces fill the suppression list of the send log; a run looks into it before each
    token and before each message.
    """


@suppress.command()
@click.argument("address", required=False)
@_LIST
@_REASON
@click.option("--token", help="The token of an unsubscribe link that your own site has answered, instead of ADDRESS.")
@SANDBOX
def add(address: str | None, name: str | None, reason: str, token: str | None, *, sandbox: bool) -> None:
    """Suppress an address, or the one that an unsubscribe token names."""
    if (address is None) == (token is None):
        raise CannotStartError("give either an address or --token with an unsubscribe token.")
    with _opened(sandbox=sandbox) as log:
        if token is not None:
            found = log.unsubscribe(token.rpartition("/")[2])
            if found is None:
                raise CannotStartError("the token is not of this send log; nothing was changed.")
            say([f"{found.address}: {found}, in {log.place}."])
            return
        plain = _plain(address or "")
        new = log.add([plain], reason=reason, mailing_list=name or "")
        where = f"for {name or 'all lists'} in {log.place}"
        say([f"{plain} is suppressed {where}." if new else f"{plain} was suppressed before {where}."])


@suppress.command()
@click.argument("address")
@_LIST
@SANDBOX
def remove(address: str, name: str | None, *, sandbox: bool) -> None:
    """Let an address get mail again; rows skipped for it come back by `campaign retry --state skipped`."""
    plain = _plain(address)
    with _opened(sandbox=sandbox) as log:
        lifted = log.remove(plain, mailing_list=name)
        if not lifted:
            say([f"{plain} is not suppressed for {name or 'any list'} in {log.place}."])
            raise SystemExit(UNFINISHED)
        say([f"{plain} gets mail again. For rows that were skipped: campaign retry FILE --state skipped."])


@suppress.command("list")
@_LIST
@_FORM
@SANDBOX
def list_entries(name: str | None, form: str, *, sandbox: bool) -> None:
    """Print the suppression list: email, list, reason, at, campaign, key."""
    from campaign.reporting.suppression_export import suppression_lines  # noqa: PLC0415

    with _opened(sandbox=sandbox) as log:
        say(suppression_lines(log.entries(mailing_list=name), form=form), end="")
    raise SystemExit(DONE)


@suppress.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_LIST
@_REASON
@SANDBOX
def import_entries(file: Path, name: str | None, reason: str, *, sandbox: bool) -> None:
    """Suppress the addresses of a CSV with a column email, or of a text with one address a line."""
    from campaign.clock import SystemClock  # noqa: PLC0415
    from campaign.recipients.suppression_file import read_suppressions  # noqa: PLC0415
    from campaign.reporting.summary import number  # noqa: PLC0415

    entries = read_suppressions(file, mailing_list=name or "", reason=reason, now=SystemClock().now())
    with _opened(sandbox=sandbox) as log:
        say([f"{number(log.merge(entries), 'address')} of {file} newly suppressed in {log.place}."])


@suppress.command()
@click.argument("file", type=click.Path(path_type=Path))
@_LIST
@_FORM
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@SANDBOX
def export(file: Path, name: str | None, form: str, *, force: bool, sandbox: bool) -> None:
    """Write the suppression list to a file, as `import` reads it."""
    from campaign.cli.output_file import place_for, write_page  # noqa: PLC0415
    from campaign.reporting.suppression_export import suppression_lines  # noqa: PLC0415

    target = place_for(file, force=force)
    with _opened(sandbox=sandbox) as log:
        lines = list(suppression_lines(log.entries(mailing_list=name), form=form))
    write_page(target, "".join(lines), mode=0o600)
    say([f"{file} has {len(lines) - (form == 'csv'):,} entries."])


def _opened(*, sandbox: bool) -> SuppressionList:
    from campaign.delivery.services import clock_of, log_path  # noqa: PLC0415
    from campaign.sendlog import SuppressionList, exists  # noqa: PLC0415

    settings = settings_of()
    path = log_path(settings, None, asked=sandbox)
    if settings.log is None and not exists(path):
        raise SendLogUnusableError(
            f"the send log {path} does not exist; go to the folder of the campaign, or set CAMPAIGN_LOG to its send log"
        )
    return SuppressionList(path, clock_of(settings, path))


def _plain(address: str) -> str:
    from campaign.config.address import normalise_address  # noqa: PLC0415

    try:
        return normalise_address(address.strip()).lower()
    except ValueError as error:
        raise CannotStartError(f"{address!r}: {error}") from None
