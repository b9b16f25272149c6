"""Ask the site just before a token is asked for whether a mail is still wanted: `Recheck.variables_of`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from campaign.errors import DeferredError, TransientError
from campaign.model import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from campaign.clock import Clock
    from campaign.delivery.retry import Backoff
    from campaign.model import Delivery
    from campaign.site.recheck_endpoint import RecheckEndpoint

#: Keys in one request, as many as users are looked up in one call.
KEYS_PER_REQUEST = 100
#: An answer may be this old (seconds) when its row's token is asked for.
_MAX_AGE_S = 60.0
#: The columns whose values decide to whom a mail goes.
_IDENTITY = ("email", "user_id")


class _Question:
    """Keys that are asked about in one request."""

    def __init__(self, step: str, keys: Sequence[str]) -> None:
        self.step = step
        self.keys = keys
        self.answer: asyncio.Future[dict[str, dict[str, Any]]] = asyncio.get_running_loop().create_future()
        #: When the answer came (seconds since the epoch); None before that, or if there was none.
        self.at: float | None = None


class Recheck:
    """What one endpoint of the site says about the current recipients, asked by the hundred.

    After a doubt it is not asked again until the back-off has passed.

    Args:
        endpoint: the client.
        campaign: the campaign's name.
        backoff: how long to wait after each doubt in a row.
        clock: the time.
        on_notice: told once of each outage.
    """

    def __init__(
        self,
        endpoint: RecheckEndpoint,
        campaign: str,
        backoff: Backoff,
        *,
        clock: Clock,
        on_notice: Callable[[str], None],
    ) -> None:
        self._endpoint = endpoint
        self._campaign = campaign
        self._backoff = backoff
        self._clock = clock
        self._on_notice = on_notice
        self._questions: dict[tuple[str, str], _Question] = {}
        self._doubt = ""
        #: Until when it is not asked (seconds since the epoch).
        self.paused_until = 0.0

    def raise_if_paused(self) -> None:
        """Raise DeferredError while the endpoint is not asked because its last answer could not be used."""
        if self.paused_until > self._clock.now():
            raise DeferredError(self._doubt, until=self.paused_until, waiting=Waiting.RECHECK)

    async def fetch(self, deliveries: Sequence[Delivery]) -> None:
        """Ask about these rows; `variables_of` then waits for the answer, and raises what went wrong."""
        wanted: dict[str, list[str]] = {}
        for delivery in deliveries:
            known = self._questions.get((delivery.step, delivery.recipient.key))
            if known is None or self._is_over(known):
                wanted.setdefault(delivery.step, []).append(delivery.recipient.key)
        questions = [
            _Question(step, keys[start : start + KEYS_PER_REQUEST])
            for step, keys in wanted.items()
            for start in range(0, len(keys), KEYS_PER_REQUEST)
        ]
        for question in questions:
            self._questions |= {(question.step, key): question for key in question.keys}
        await asyncio.gather(*map(self._ask, questions))

    async def variables_of(self, delivery: Delivery) -> dict[str, Any] | None:
        """Return a row's fresh variables, perhaps none; None if its mail is no longer wanted.

        Raises:
            DeferredError: the endpoint's answer cannot be used.
        """
        step, key = place = (delivery.step, delivery.recipient.key)
        question = self._questions.pop(place, None)
        if question is None or self._is_over(question):
            self.raise_if_paused()
            # ask again about all rows that are left of the old question
            others = [other for other, asked in self._questions.items() if question is not None and asked is question]
            question = _Question(step, [key, *(other for _, other in others)])
            self._questions |= dict.fromkeys(others, question)
            await self._ask(question)
        try:
            standing = await question.answer
        except TransientError as error:
            raise DeferredError(error.reason, until=self.paused_until, waiting=Waiting.RECHECK) from None
        fresh = standing.get(key)
        if fresh and (changed := _changed_identity(delivery, fresh)):
            reason = f"the recheck endpoint names another {changed} than the CSV; correct one of them"
            raise DeferredError(reason, until=self._clock.now() + _MAX_AGE_S, waiting=Waiting.RECHECK)
        return fresh

    def _is_over(self, question: _Question) -> bool:
        """Return whether a question must be asked again: its answer is too old, or it got none."""
        if not question.answer.done():
            return False
        # in the machine's seconds: a simulation (`run --speed`) asks no more often
        return question.at is None or (self._clock.now() - question.at) / self._clock.speed > _MAX_AGE_S

    async def _ask(self, question: _Question) -> None:
        try:
            found = await self._endpoint.ask(self._campaign, question.step, question.keys)
        except TransientError as error:
            self._note(error)
            question.answer.set_exception(error)
            question.answer.exception()  # mark it as retrieved: perhaps no `variables_of` awaits it
        except BaseException:
            question.answer.cancel()
            raise
        else:
            self._backoff.succeeded()
            self._doubt = ""
            question.at = self._clock.now()
            question.answer.set_result(found)

    def _note(self, error: TransientError) -> None:
        now = self._clock.now()
        if self.paused_until <= now:  # a request that fails during the pause was under way before it
            self.paused_until = now + self._backoff.failed(None)
        if not self._doubt:
            self._on_notice(f"{error.reason}. Nothing is sent to whom it was asked about until it answers")
        self._doubt = error.reason


def _changed_identity(delivery: Delivery, fresh: Mapping[str, Any]) -> str:
    """Return the first column that says who a row is and has another value in the site's answer; empty if none has."""
    known = delivery.recipient.variables
    return next((name for name in _IDENTITY if name in fresh and str(fresh[name]) != str(known.get(name))), "")
