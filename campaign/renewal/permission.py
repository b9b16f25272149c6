"""Decide whether a campaign sends a mail again for its reader: `permission`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.errors import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaign.config.definition import Definition
    from campaign.sendlog import LastMail


def permission(definition_of: Callable[[LastMail], Definition | None]) -> Callable[[LastMail, float], bool]:
    """Return what says whether a mail may be sent again at an instant (seconds since the epoch).

    Its link must have `renew = true`, and the end of its step (`[schedule] until`) must not be over: an offer that has
    ended gets no new link. Hours and due times do not count, since its reader waits for it.

    Args:
        definition_of: returns the campaign of a mail; None: it is not known.
    """

    def permits(mail: LastMail, now: float) -> bool:
        definition = definition_of(mail)
        if definition is None or mail.step not in definition.step_names:
            return False
        variant = definition.variant(mail.step, definition.locale_of(mail.variables))
        if variant.link is None or not variant.link.renew:
            return False
        try:
            return variant.schedule.until_at(mail.variables, mail.sent) >= now
        except ScheduleError:
            return False

    return permits
