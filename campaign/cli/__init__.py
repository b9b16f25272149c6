"""The command line, `main`: one file per command, and the only package that prints.

Commands import their modules only when they run, so that `campaign --help` stays fast.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from campaign.cli import (
    bounces,
    check,
    landing,
    log,
    migrate,
    new,
    plan,
    preview,
    report,
    resend,
    resolve,
    results,
    retry,
    revoke,
    run,
    sandbox,
    serve,
    skip,
    status,
    suppress,
    test,
    watch,
    workers,
)
from campaign.cli.group import HELD, INTERRUPTED, REFUSED, UNFINISHED, WRONG_INPUT, commands, echo
from campaign.cli.stray_errors import place_of, tell_stray_errors
from campaign.errors import CampaignError, CannotStartError, LogHeldError, LogUnreachableError, ServiceRefusesError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "bounces",
    "check",
    "landing",
    "log",
    "main",
    "migrate",
    "new",
    "plan",
    "preview",
    "report",
    "resend",
    "resolve",
    "results",
    "retry",
    "revoke",
    "run",
    "sandbox",
    "serve",
    "skip",
    "status",
    "suppress",
    "test",
    "watch",
    "workers",
]


def main() -> None:
    """Run the command line; every error becomes a sentence and an exit code, never a traceback."""
    tell_stray_errors()
    with _sentences():
        raise SystemExit(commands(prog_name="campaign", standalone_mode=False))


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except (ServiceRefusesError, LogUnreachableError) as error:
        _fail(str(error), REFUSED)
    except LogHeldError as error:
        _fail(str(error), HELD)
    except CannotStartError as error:
        _fail(str(error), WRONG_INPUT)
    except CampaignError as error:
        _fail(str(error), UNFINISHED)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - no traceback: it may contain secrets
        _fail(_fault(error), UNFINISHED)


def _fault(error: BaseException) -> str:
    """Return a sentence about a bug in the program: the error's type and place, but no values (they may be secrets)."""
    return (
        f"this is a bug in campaign: {place_of(error)}. The send log contains what was sent; "
        "run the same command again to continue from there"
    )


def _fail(sentence: str, code: int) -> None:
    echo(f"campaign: {sentence}", err=True)
    raise SystemExit(code) from None
