"""Notice that another run has read another version of a watched campaign, `OtherVersions`, in a log that several share.

The version that was read last has the rows: each run sends those of its own reading alone. So two versions of a file on
two machines, while a change is on its way to both, send nothing twice. A watch whose version is not the last one reads
again when it has become the same, or when no other run of the campaign is left that would send the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from campaign.errors import RecipientsError
from campaign.watching.events import About

if TYPE_CHECKING:
    from campaign.sendlog import QueueState, SendLog
    from campaign.watching.events import CampaignEvents
    from campaign.watching.version import CampaignVersion

#: A change may reach two machines so many seconds apart before the operator is told.
PATIENCE_S = 60.0


class Reader(Protocol):
    """A campaign that has read its recipients."""

    #: The campaign file as it is in use.
    version: CampaignVersion
    #: The log in which they are enlisted.
    log: SendLog


class OtherVersions:
    """Whether other runs that share the log have read the same as this watch.

    Args:
        events: told if they have not for a while.
    """

    def __init__(self, events: CampaignEvents) -> None:
        self._events = events
        self._since: float | None = None

    def must_read(self, campaign: Reader, state: QueueState, now: float, *, is_alone: bool) -> bool:
        """Return whether the campaign's recipients have to be read again, so that this watch sends them.

        Args:
            campaign: what this watch has read.
            state: what was read last, here or elsewhere.
            now: seconds since the epoch.
            is_alone: no other run sends the campaign at present.
        """
        if state.enlistment <= campaign.log.enlistment:
            self._since = None
            self._events.works(About.VERSION)
            return False
        if state.content == campaign.log.content:
            return True
        if campaign.version.csv is None:  # the waitlist is read again within minutes
            return False
        self._since = now if self._since is None else self._since
        if now - self._since >= PATIENCE_S:
            self._events.failed(
                _another_version(campaign.version), about=About.VERSION, then="the others send its rows"
            )
        return is_alone


def _another_version(version: CampaignVersion) -> RecipientsError:
    return RecipientsError(
        f"another run of this campaign has read another version of {version.definition.path}, of a template or of its "
        "CSV: make the files the same on all machines"
    )
