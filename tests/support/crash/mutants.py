"""Run the sender with a deliberate fault: `python -m support.crash.mutants HOW run FILE --yes`.

HOW is the name of a mutant, which breaks one promise, to test that the checker notices; or
`kill:STEP:before` / `kill:STEP:after`: the process kills itself at a durable write of the send log.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from campaign.clerk.client import Clerk
from campaign.cli import main as campaign_main
from campaign.delivery import failures, retry
from campaign.delivery import revoker as revoking
from campaign.delivery.composer import Composer
from campaign.delivery.permit import Permit
from campaign.delivery.shared_limit import ReservedPermit, SharedLimit
from campaign.errors import DeliveryError, PermanentError, TransientError, UncertainError
from campaign.sendlog import ReturnedMail, SendLog, obstacles
from campaign.sendlog.postgres.heartbeat import Heartbeat
from campaign.sendlog.postgres.worker import PostgresWorker
from campaign.sendlog.postgres.worker_transactions import WorkerTransactions
from campaign.sendlog.worker import LogWorker
from campaign.smtp import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

_Method = Any


def no_intent_before_the_dot() -> None:
    """Write the intent together with the outcome, not before the final dot."""
    sending, settle = SendLog.sending, SendLog.settle
    waiting: dict[int, dict[str, Any]] = {}

    async def later(_log: SendLog, delivery: Any, **what: Any) -> None:  # noqa: ANN401 - as given
        waiting[delivery.id] = what

    async def both(log: SendLog, delivery: Any, outcome: Any, **what: Any) -> None:  # noqa: ANN401 - as given
        if delivery.id in waiting:
            await sending(log, delivery, **waiting.pop(delivery.id))
        await settle(log, delivery, outcome, **what)

    _put(SendLog, "sending", later)
    _put(SendLog, "settle", both)


def resend_on_a_lost_reply() -> None:
    """Treat a lost reply as a temporary failure."""
    _bend_fate(lambda error: TransientError(error.reason))


def lost_reply_is_failure() -> None:
    """Treat a lost reply as a permanent failure."""
    _bend_fate(lambda error: PermanentError(error.reason))


def revoke_left_out() -> None:
    """Do not revoke tokens that are in no mail."""

    async def settle_all(_revoker: object) -> None:
        return

    _put(revoking.TokenRevoker, "settle_all", settle_all)


def intents_made_ahead() -> None:
    """Write the intent before the message has a connection."""
    send = Pool.send

    async def made() -> None:
        return

    async def ahead(pool: Pool, envelope: Any, message: bytes, intent: Any) -> Any:  # noqa: ANN401 - as given
        await intent()
        return await send(pool, envelope, message, made)

    _put(Pool, "send", ahead)


def recovery_sends_again() -> None:
    """Put rows that a crash left in `sending` back into the queue."""
    recover = SendLog.recover

    def forget(log: SendLog) -> Any:  # noqa: ANN401 - as it returns
        log._connection.execute(  # noqa: SLF001 - that is what a mutant does
            "UPDATE delivery SET state = 'queued', actor = 'recovery', token_id = NULL WHERE state = 'sending'"
        )
        return recover(log)

    _put(SendLog, "recover", forget)


def orphans_not_counted() -> None:
    """Forget a token whose creation was interrupted."""
    recover = SendLog.recover

    def forget(log: SendLog) -> Any:  # noqa: ANN401 - as it returns
        log._connection.execute(  # noqa: SLF001 - that is what a mutant does
            "UPDATE delivery SET state = 'queued', actor = 'recovery' WHERE state = 'issuing' AND token_id IS NULL"
        )
        return recover(log)

    _put(SendLog, "recover", forget)


def token_id_not_kept() -> None:
    """Do not write a token's id before its message leaves."""

    async def issued(*_: object, **__: object) -> None:
        return

    _put(SendLog, "issued", issued)


def tokens_mixed_up() -> None:
    """Put the token of the previous mail into every hundredth mail."""
    compose = Composer.compose
    last: list[Any] = []

    async def mixed(self: Composer, attempt: Any, *more: Any) -> Any:  # noqa: ANN401 - as given
        last.append(attempt.token)
        own, attempt.token = attempt.token, last[-2] if len(last) % 100 == 0 else attempt.token
        try:
            return await compose(self, attempt, *more)
        finally:
            attempt.token = own

    _put(Composer, "compose", mixed)


def token_in_the_output() -> None:
    """Print a token."""
    compose = Composer.compose

    async def talkative(self: Composer, attempt: Any, *more: Any) -> Any:  # noqa: ANN401 - as given
        if attempt.delivery.id == 1:
            print(attempt.token.token[40:])
        return await compose(self, attempt, *more)

    _put(Composer, "compose", talkative)


def suppression_ignored() -> None:
    """Mail who said no."""
    _put(obstacles, "suppression_of", lambda *_: None)
    _put(SendLog, "skip_suppressed", lambda _: 0)


def refused_not_suppressed() -> None:
    """Forget that a server does not know an address."""
    _put(retry, "_why_suppress", lambda _: "")


def returned_not_suppressed() -> None:
    """Forget that a mail to an address came back."""
    _put(ReturnedMail, "_suppress", lambda *_: None)


def users_asked_for_again() -> None:
    """Ask Clerk again for a user at once when its answer is lost, as many a client would."""
    create_user = Clerk.create_user

    async def stubborn(clerk: Clerk, address: str) -> Any:  # noqa: ANN401 - as it returns
        try:
            return await create_user(clerk, address)
        except TransientError:
            return await create_user(clerk, address)

    _put(Clerk, "create_user", stubborn)


def users_without_intent() -> None:
    """Do not write down that a user is about to be created."""

    async def creating_user(*_: object, **__: object) -> None:
        return

    _put(SendLog, "creating_user", creating_user)


def no_fence() -> None:
    """Write a row that another run may have claimed since."""
    _put(PostgresWorker, "held", lambda _, __, claims: lambda: {claim.id for claim in claims})
    _put(PostgresWorker, "change", LogWorker.change)
    _put(PostgresWorker, "still_queued", lambda _, __, ids: ids)


def commit_assumed() -> None:
    """Take a transaction for committed whose COMMIT had no answer."""
    _put(WorkerTransactions, "_is_last", lambda *_: True)


def heartbeat_stops() -> None:
    """Let the lease run out while the run goes on: no promise is broken."""
    _put(Heartbeat, "_work", lambda _: None)


def lease_not_checked() -> None:
    """Let the lease run out, and write intents without one."""
    heartbeat_stops()
    _put(PostgresWorker, "has_lease", lambda *_: True)


def permits_doubled() -> None:
    """Use each permit that was reserved in the log for two calls."""
    take, once = SharedLimit.take, set[int]()

    def twice(limit: SharedLimit, now: float) -> ReservedPermit:
        first = limit._reserved[0]  # noqa: SLF001 - that is what a mutant does
        if first.number in once:
            return take(limit, now)
        once.add(first.number)
        return replace(first, taken_at=now)

    _put(SharedLimit, "take", twice)


def used_permits_given_back() -> None:
    """Report each permit that was used as one that was not, so that others get it again."""

    def use(limit: SharedLimit, permit: ReservedPermit, _now: float) -> None:
        limit.give_back(permit)

    _put(SharedLimit, "use", use)


def sleeps_before_the_dot() -> None:
    """Suspend the process once, when the first intent is durable and its message waits for its permit: a fault."""
    used, is_first = Permit.used, [True]

    async def sleep_first(permit: Permit) -> bool:
        buckets = {window._terms.bucket for window, _ in permit.pieces if isinstance(window, SharedLimit)}  # noqa: SLF001
        if is_first[0] and "messages" in buckets:
            is_first[0] = False
            os.kill(os.getpid(), signal.SIGSTOP)
        return await used(permit)

    _put(Permit, "used", sleep_first)


def lease_forgotten_while_late() -> None:
    """Do not look at the lease again when a message needs a second permit; with the fault that reveals it."""

    async def still_sending(*_: object) -> None:
        return

    _put(SendLog, "still_sending", still_sending)
    sleeps_before_the_dot()


def _bend_fate(bend: Callable[[UncertainError], DeliveryError]) -> None:
    outcome_of = retry.outcome_of

    def mutated(error: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - as given
        return outcome_of(bend(error) if isinstance(error, UncertainError) else error, *rest, **more)

    _put(failures, "outcome_of", mutated)


def _put(owner: object, name: str, value: object) -> None:
    assert hasattr(owner, name), f"there is no {name} to bend"
    setattr(owner, name, value)


MUTANTS: dict[str, Callable[[], None]] = {
    bend.__name__: bend
    for bend in (
        no_intent_before_the_dot,
        intents_made_ahead,
        resend_on_a_lost_reply,
        lost_reply_is_failure,
        revoke_left_out,
        recovery_sends_again,
        orphans_not_counted,
        token_id_not_kept,
        tokens_mixed_up,
        token_in_the_output,
        suppression_ignored,
        refused_not_suppressed,
        returned_not_suppressed,
        users_asked_for_again,
        users_without_intent,
    )
}

#: Those of a run that shares its log.
MUTANTS_OF_WORKERS: dict[str, Callable[[], None]] = {
    bend.__name__: bend
    for bend in (
        no_fence,
        commit_assumed,
        heartbeat_stops,
        lease_not_checked,
        permits_doubled,
        used_permits_given_back,
        sleeps_before_the_dot,
        lease_forgotten_while_late,
    )
}

#: The writes that must be durable in this order, by the name of their method.
STEPS = ("enlist", "creating_user", "settle_user", "issuing", "issued", "sending", "settle", "settle_revocation")


def kill_at(step: str, moment: str) -> None:
    """Make the process kill itself right before or right after the first durable write of this kind."""
    method: _Method = getattr(SendLog, step)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def at_once(*given: Any, **more: Any) -> Any:  # noqa: ANN401 - as given
        if moment == "before":
            die()
        method(*given, **more)
        die()

    async def awaited(*given: Any, **more: Any) -> Any:  # noqa: ANN401 - as given
        if moment == "before":
            die()
        await method(*given, **more)
        die()

    _put(SendLog, step, at_once if step == "enlist" else awaited)


def main() -> None:
    """Apply the fault in the first argument, then run the program with the other arguments."""
    how = sys.argv.pop(1)
    if how.startswith("kill:"):
        _, step, moment = how.split(":")
        kill_at(step, moment)
    else:
        (MUTANTS | MUTANTS_OF_WORKERS)[how]()
    campaign_main()


if __name__ == "__main__":
    main()
