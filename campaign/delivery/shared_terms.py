"""The terms on which all workers share a rate: `terms_of`, and `terms_of_day` for a day of the ramps."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from campaign.delivery.window import MAX_CATCH_UP_S, is_even
from campaign.model import Status
from campaign.sendlog.permits import PermitTerms, SharedWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campaign.model import Rate

#: A window is kept longer than declared by this share of it, up to a number of seconds: the other side counts when a
#: call arrives, and one call takes longer on the way than another. That is a matter of milliseconds, whatever the
#: period is; a longer window gets more of them because they cost it little.
_MARGIN_SHARE = 0.01
_MAX_MARGIN_S = 0.05
#: How late a permit may be used (seconds after its instant).
_MAX_USED_LATE_S = 0.5
#: How far ahead permits are reserved, as a share of the shortest window. So when a permit is reserved, it is known when
#: the permit one window before it was used.
_HORIZON_SHARE = 0.25
#: The same in seconds, at most: a worker that is killed loses what it has reserved.
_MAX_HORIZON_S = 2.5
#: What a day of a ramp counts does not expire on that day.
_LONGER_THAN_A_DAY_S = 7 * 86400.0


def terms_of(bucket: str, rates: Sequence[Rate], status: Status, *, domain: str | None = None) -> PermitTerms:
    """Return the terms of rates that are all kept at once; see `PermitTerms`."""
    windows = [(rate, _window(rate)) for rate in rates]
    even = [window for rate, window in windows if is_even(rate)]
    shortest = min([window.period_s for window in even], default=inf)
    return PermitTerms(
        bucket=bucket,
        even=even,
        budgets=[window for rate, window in windows if not is_even(rate)],
        horizon_s=min(_HORIZON_SHARE * shortest, _MAX_HORIZON_S),
        late_s=_MAX_USED_LATE_S,
        catch_up_s=MAX_CATCH_UP_S,
        status=status,
        domain=domain,
    )


def terms_of_day(day: str, quota: int, since: float) -> PermitTerms:
    """Return the terms of a ramp's day, which begins at an instant (seconds since the epoch); `day` is its name."""
    return PermitTerms(
        bucket=f"ramp on {day}",
        even=(),
        budgets=(SharedWindow(quota, _LONGER_THAN_A_DAY_S),),
        horizon_s=_MAX_HORIZON_S,
        late_s=_MAX_USED_LATE_S,
        catch_up_s=MAX_CATCH_UP_S,
        status=Status.SENDING,
        since=since,
    )


def _window(rate: Rate) -> SharedWindow:
    period_s = rate.period.total_seconds()
    return SharedWindow(rate.count, period_s + min(_MARGIN_SHARE * period_s, _MAX_MARGIN_S))
