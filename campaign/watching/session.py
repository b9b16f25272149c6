"""What the campaigns of a watch share from one opening of the send log to the next: `WatchSession`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from campaign.errors import DefinitionError
from campaign.watching.turns import Turns
from campaign.watching.version import require_own_names, shared_rates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from campaign.delivery.outbound import Outbound
    from campaign.delivery.services import Services
    from campaign.delivery.worker_rates import WorkerRates
    from campaign.errors import CampaignError
    from campaign.watching.file_watch import FileWatch
    from campaign.watching.metrics import Metrics
    from campaign.watching.version import CampaignVersion


#: Connections to the mail server are closed if the last campaign that sent goes on later than this (seconds of the
#: machine).
_IDLE_S = 60.0


class Watched(Protocol):
    """A campaign, as the session sees it."""

    #: The campaign file as it is in use.
    version: CampaignVersion

    @property
    def files(self) -> frozenset[Path]:
        """The files whose change concerns it, without the CSV."""

    def interrupt(self) -> None:
        """Finish what is in hand, and look again at what there is to do."""


class WatchSession:
    """The log, the connections and the limits of all campaigns; it ends when one of them has to be made anew.

    Args:
        services: the servers' addresses, and the time.
        outbound: the connections and limits.
        members: the campaigns.
        files: looks at their files.
        metrics: counts their cycles.
    """

    def __init__(
        self,
        services: Services,
        outbound: Outbound,
        members: Sequence[Watched],
        *,
        files: FileWatch,
        metrics: Metrics,
    ) -> None:
        self.services = services
        self.outbound = outbound
        self.files = files
        self.metrics = metrics
        self.turns = Turns()
        #: Set when the session is to end.
        self.ending = asyncio.Event()
        #: Why the send log has to be opened anew; None if the limits have changed, or the watch ends.
        self.error: CampaignError | None = None
        #: The campaigns whose counts have changed since they were read last, by name.
        self.news: set[str] = set()
        self._members = members
        self._rates = shared_rates([member.version for member in members], services)

    @property
    def workers(self) -> WorkerRates | None:
        """What other runs share that use the same log; None if it is one that a single run uses."""
        return self.outbound.limits.workers

    def end(self, error: CampaignError | None = None) -> None:
        """Let all campaigns finish what is in hand, and end the session."""
        self.error = self.error or error
        self.ending.set()
        self.pause()

    def pause(self) -> None:
        """Let all campaigns finish what is in hand, and look again at what there is to do."""
        for member in self._members:
            member.interrupt()

    def cycle_ended(self, name: str, *, next_at: float) -> None:
        """Note that a campaign has sent what was due; close the connections if nothing is sent for a while.

        A connection that lies idle for hours may be dead without a sign.

        Args:
            name: the campaign's.
            next_at: when it goes on (seconds since the epoch).
        """
        self.news.add(name)
        clock = self.services.clock
        if next_at > clock.now() + _IDLE_S * clock.speed and self.turns.is_only_one:
            self.outbound.pool.rest()

    def follow(self) -> None:
        """Look at the files of all campaigns as they are in use."""
        lists = [member.version.csv for member in self._members if member.version.csv]
        self.files.follow([*(path for member in self._members for path in member.files), *lists], lists=lists)

    def require_same_name(self, before: CampaignVersion, version: CampaignVersion) -> None:
        """Refuse a campaign file whose name has changed: it would mail everybody again.

        Args:
            before: the version that is in use.
            version: the new one.

        Raises:
            DefinitionError: it has another name than before.
        """
        if version.name == before.name:
            return
        require_own_names([*(each.version for each in self._members if each.version is not before), version])
        raise DefinitionError(
            f"{version.definition.path}: the campaign was called {before.name!r} and is called "
            f"{version.name!r} now, which is another campaign that would mail everybody again. Give it its name back, "
            "or start the watch again"
        )

    def has_changed(self) -> None:
        """Look at the files of a new version; if it changes a limit that all share, begin a new session."""
        self.follow()
        if shared_rates([member.version for member in self._members], self.services) != self._rates:
            self.end()
