"""Send one email with a Clerk sign-in link to each user of a CSV, at most once: `check`, `run`, `status`.

The names are loaded when they are first used, so that the command line starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from campaign.errors import CampaignError
    from campaign.library import CheckReport, Observer, Result, Settings, check, run, status
    from campaign.model import Status
    from campaign.sendlog import Summary

__all__ = [
    "CampaignError",
    "CheckReport",
    "Observer",
    "Result",
    "Settings",
    "Status",
    "Summary",
    "check",
    "run",
    "status",
]

_HOMES = {"CampaignError": "campaign.errors", "Status": "campaign.model", "Summary": "campaign.sendlog"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of `__all__` (PEP 562)
    if name not in __all__:
        raise AttributeError(f"module 'campaign' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "campaign.library")), name)


def __dir__() -> list[str]:
    return __all__
