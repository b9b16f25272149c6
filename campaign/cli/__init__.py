"""The command line, `main`: a file for each command, and the only place that prints.

Commands import what they need when they run, so that `campaign --help` stays fast.
"""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from campaign.cli import (
    check,
    landing,
    log,
    preview,
    report,
    resolve,
    retry,
    revoke,
    run,
    sandbox,
    status,
    test,
)
from campaign.cli.group import HELD, INTERRUPTED, REFUSED, UNFINISHED, WRONG_INPUT, commands
from campaign.errors import CampaignError, CannotStartError, LogHeldError, ServiceRefusesError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "check",
    "landing",
    "log",
    "main",
    "preview",
    "report",
    "resolve",
    "retry",
    "revoke",
    "run",
    "sandbox",
    "status",
    "test",
]


def main() -> None:
    """Run the command line; every error is a sentence and an exit code, and never a traceback."""
    with _sentences():
        raise SystemExit(commands(prog_name="campaign", standalone_mode=False))


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except ServiceRefusesError as error:
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
    except Exception as error:  # noqa: BLE001 - a person gets a sentence, and values may be secrets
        _fail(_fault(error), UNFINISHED)


def _fault(error: BaseException) -> str:
    """Return where the program itself is wrong, and no value of anything."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
    return (
        f"this is a bug in campaign: {type(error).__name__} at {where}. The send log contains what was sent; "
        "run the same command again to continue from there"
    )


def _fail(sentence: str, code: int) -> None:
    click.echo(f"campaign: {sentence}", err=True)
    raise SystemExit(code) from None
