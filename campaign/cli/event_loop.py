"""Run a command's coroutine to its end, on uvloop if it is installed: `awaited`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from campaign.cli.stray_errors import of_loop
from campaign.errors import first_error

if TYPE_CHECKING:
    from collections.abc import Coroutine


def awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it returns
    """Return the result of a coroutine, run on uvloop if it is installed.

    Raises:
        CampaignError: the first error of this program in the exception group that ended its tasks.
        KeyboardInterrupt: the coroutine was cancelled.
    """
    try:
        import uvloop  # noqa: PLC0415 - optional: the extra `fast`
    except ImportError:
        loop_factory = None
    else:
        loop_factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.get_loop().set_exception_handler(of_loop)
            return runner.run(coroutine)
    except BaseExceptionGroup as group:
        error = first_error(group)
        if error is None:
            raise
        raise error from None
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
