"""Read Clerk's waitlist and write it down as a CSV beside the send log: `read_waitlist`, `written_down`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from campaign.clock import SystemClock
from campaign.config.address import normalise_address
from campaign.delivery.retry import Backoff, RetryPolicy
from campaign.delivery.services import log_path
from campaign.errors import NoRecipientsError, RecipientsError, Scope, ServiceRefusesError, TransientError
from campaign.recipients.waitlist_file import write_waitlist

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from campaign.clerk.client import Clerk
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings
    from campaign.delivery.rate_limiter import RateLimiter
    from campaign.delivery.services import Services
    from campaign.model import WaitlistRow
    from campaign.sendlog import LogLocation

#: Each page begins with the last entries of the one before: a gap shows that entries were deleted meanwhile.
_OVERLAP = 1
#: After a gap, read again from this many entries further in front.
_STEP_BACK = 100
#: After this many gaps the list changes too fast to be read.
_MAX_GAPS = 20
#: One made-up entry, for commands that show a mail before a run has read the waitlist.
_SAMPLE = Path(__file__).with_name("waitlist_sample.csv")


async def read_waitlist(
    definition: Definition,
    services: Services,
    begun_keys: Callable[[], Awaitable[set[str]]],
    limiter: RateLimiter,
    waiting: Callable[[str, float], object],
) -> Definition:
    """Return the campaign with its waitlist as a CSV: the entries that the campaign is about, oldest first.

    They are those with the campaign's status, and those for whom an earlier run has begun, unless they were rejected:
    a user who was made may complete an entry, and its further attempts and steps are still to come.

    Args:
        definition: the campaign file, with `clerk = "waitlist"`.
        services: the run's.
        begun_keys: returns the keys of those for whom an earlier run has begun, from the send log.
        limiter: Clerk's rate limiter.
        waiting: told why Clerk is not called now, and for how many seconds; see `Observer.waiting`.

    Raises:
        DeferredError: other workers have used up a limit of Clerk's for long.
        RecipientsError: no entry is for this campaign, or the CSV cannot be written.
        ServiceRefusesError: Clerk refuses, or does not answer again and again.
    """
    from campaign.clerk.client import Clerk  # noqa: PLC0415 - a campaign without Clerk starts sooner without httpx

    assert services.clerk_key is not None  # noqa: S101 - a campaign that reads the waitlist needs Clerk
    policy = RetryPolicy(definition.retry.attempts, definition.retry.first_delay)
    async with Clerk(services.clerk_url, services.clerk_key) as clerk:
        pages = _Pages(clerk, limiter, policy, waiting, is_simulation=services.is_simulation)
        found = await pages.entries()
    section = definition.recipients
    begun = await begun_keys()
    chosen = [
        row
        for row in found
        if row.status == section.status or (row.status != "rejected" and _key(row, section.key) in begun)
    ]
    if not chosen:
        others = f" ({len(found):,} have another status)" if found else ""
        raise NoRecipientsError(
            f"Clerk's waitlist has no entry with the status {section.status}{others}. Nobody was mailed. Run the "
            "same command again when somebody has joined."
        )
    path = _path_of(definition, services.log)
    write_waitlist(path, chosen)
    return definition.reading(path)


def written_down(definition: Definition, settings: Settings | None, *, asked: bool, sample: bool = True) -> Definition:
    """Return the campaign with the waitlist as the last run wrote it down; one with a CSV is returned unchanged.

    Args:
        definition: the campaign file.
        settings: the settings; None: they are wrong, and the made-up entry is taken.
        asked: take the sandbox's, whatever the settings are.
        sample: before the first run, take one made-up entry.

    Raises:
        RecipientsError: no run has read the waitlist yet.
    """
    if definition.recipients.clerk is None:
        return definition
    path = _path_of(definition, log_path(settings, definition, asked=asked)) if settings else None
    if path and path.exists():
        return definition.reading(path)
    if sample:
        return definition.reading(_SAMPLE)
    raise RecipientsError(
        f"{definition.path}: no run has read Clerk's waitlist yet; campaign run {definition.path} reads it."
    )


def is_sample(definition: Definition) -> bool:
    """Return whether a campaign has a made-up entry instead of Clerk's waitlist."""
    return definition.recipients.file == _SAMPLE


def _path_of(definition: Definition, log: LogLocation) -> Path:
    """Return where the waitlist is written down: beside the log or, if that is in a database, the campaign file."""
    folder = log.parent if isinstance(log, Path) else definition.path.parent
    return folder / f"{definition.name}.waitlist.csv"


class _Pages:
    """Reads the waitlist page by page; a fault of Clerk is waited for as `[retry]` says."""

    def __init__(
        self,
        clerk: Clerk,
        limiter: RateLimiter,
        policy: RetryPolicy,
        waiting: Callable[[str, float], object],
        *,
        is_simulation: bool,
    ) -> None:
        self._clerk = clerk
        self._limiter = limiter
        self._policy = policy
        self._waiting = waiting
        self._backoff = Backoff(policy)
        #: Simulated time stands still before the run, and the sandbox has no limit.
        self._is_simulation = is_simulation

    async def entries(self) -> list[WaitlistRow]:
        """Return all entries, oldest first, each once; who joins meanwhile may be among them.

        The list is read by position. An entry that is deleted meanwhile moves all later ones forward, so that one
        would be passed over: then a page does not begin with the last entry of the page before, and is read again
        from further in front.
        """
        found: dict[str, WaitlistRow] = {}
        offset = gaps = 0
        while True:
            page, total = await self._page(offset)
            if offset and not (page and _name(page[0]) in found):
                gaps += 1
                if gaps > _MAX_GAPS:
                    raise ServiceRefusesError(
                        "Clerk's waitlist changes faster than it can be read; run the same command again later. "
                        "Nothing was sent"
                    )
                offset = max(0, offset - _STEP_BACK)
                continue
            found |= {_name(row): row for row in page}
            end = offset + len(page)
            if len(page) <= _OVERLAP or end >= total:
                return list(found.values())
            offset = end - _OVERLAP

    async def _page(self, offset: int) -> tuple[list[WaitlistRow], int]:
        """Return one page; a temporary fault is tried again, as often as a recipient would be."""
        for attempt in range(1, self._policy.attempts + 1):
            try:
                if not self._is_simulation:
                    await self._until_permitted()
                found = await self._clerk.waitlist(offset=offset)
            except TransientError as error:
                if attempt == self._policy.attempts:
                    raise ServiceRefusesError(
                        f"Clerk's waitlist cannot be read: {error.reason}. That came {attempt} times, and nothing was "
                        "sent; run the same command again later"
                    ) from None
                seconds = self._backoff.failed(error.wait)
                self._waiting(f"Clerk's waitlist cannot be read: {error.reason}", seconds)
                await SystemClock().sleep(seconds)
            else:
                self._backoff.succeeded()
                return found
        raise AssertionError

    async def _until_permitted(self) -> None:
        """Return when a call may leave, however long a pause lasts: other workers may have told of one."""
        while True:
            try:
                return await self._limiter.pass_call("Clerk", Scope.CLERK)
            except TransientError:  # that Clerk is paused is no fault of this call
                seconds = self._limiter.paused_for
                self._waiting(f"Clerk is paused ({self._limiter.paused_why})", seconds)
                await self._limiter.wait(seconds)


def _name(row: WaitlistRow) -> str:
    return row.id or row.address


def _key(row: WaitlistRow, column: str) -> str:
    """Return the key that an entry's row has."""
    if column == "waitlist_id":
        return row.id
    try:
        return normalise_address(row.address.strip()).lower()
    except ValueError:
        return row.address.strip().lower()
