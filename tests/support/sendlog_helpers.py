"""Fill a send log with imaginary people, bring its rows into any state and read it from outside: `bring`, `table`."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.model import Outcome, Receipt, Recipient, SignInToken, Status
from campaign.sendlog import QueueCursor, SendLog
from support.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from campaign.model import Delivery, InvalidRow
    from campaign.sendlog import Enlistment, LogLocation

TWO_DAYS = timedelta(hours=48)
REFUSED = Receipt(550, "5.1.1", "No such user")
END_STATES = (Status.SENT, Status.FAILED, Status.UNCERTAIN, Status.SKIPPED)


def person(number: int, *, domain: str = "example.com", **variables: str) -> Recipient:
    """Return an imaginary recipient."""
    name = f"user_{number}"
    return Recipient(name, f"u{number}@{domain}", name, variables or {"first_name": f"Name {number}"}, number + 1)


def people(number: int) -> list[Recipient]:
    """Return `number` imaginary recipients."""
    return [person(each) for each in range(1, number + 1)]


@contextmanager
def opened(path: LogLocation, *, campaign: str = "trial", clock: FakeClock | None = None) -> Iterator[SendLog]:
    """Open a campaign's log."""
    log = SendLog(path, campaign, clock or FakeClock())
    try:
        yield log
    finally:
        log.close()


def enlist(
    log: SendLog,
    rows: Sequence[Recipient | InvalidRow],
    *,
    source: str = "people.csv",
    steps: Sequence[str] = ("",),
    in_batches: bool = False,
) -> Enlistment:
    """Enlist rows, as a CSV with its own digest."""
    return log.enlist(lambda: rows, source=source, digest=repr(rows), steps=steps, in_batches=in_batches)


def token(delivery: Delivery) -> SignInToken:
    """Return the token that Clerk makes for a delivery."""
    user_id = delivery.recipient.user_id or ""
    return SignInToken(f"sit_{delivery.id}_{delivery.generation}", f"secret-{delivery.id}", user_id)


async def issue(log: SendLog, delivery: Delivery) -> Delivery:
    """Bring a row to the state in which its token is known."""
    delivery = await log.issuing(delivery, user_id=delivery.recipient.user_id or "", expires_in=TWO_DAYS)
    await log.issued(delivery, token(delivery))
    return delivery


async def intend(log: SendLog, delivery: Delivery) -> Delivery:
    """Bring a row to the state in which its message may be out."""
    delivery = await issue(log, delivery)
    message_id = f"<{delivery.id}.{delivery.generation}@acme.example>"
    await log.sending(delivery, message_id=message_id, server="mail.example:587", with_token=True)
    return delivery


async def bring(log: SendLog, delivery: Delivery, state: Status) -> Delivery:
    """Bring a queued row to any state, as a run would."""
    if state is Status.ISSUING:
        return await issue(log, delivery)
    if state is Status.SKIPPED:
        await log.settle(delivery, Outcome(Status.SKIPPED, "banned"))
    elif state is not Status.QUEUED:
        delivery = await intend(log, delivery)
        if state is not Status.SENDING:
            reply = REFUSED if state is Status.FAILED else None
            revoke = token(delivery) if state is Status.FAILED else None
            await log.settle(delivery, Outcome(state, "as brought", reply), revoke=revoke)
    return delivery


def working(log: SendLog, work: Callable[[list[Delivery]], Coroutine[Any, Any, None]], *, limit: int = 1000) -> None:
    """Claim the due rows and work on them while the log's writer runs (as `campaign.delivery.run` does)."""

    async def run() -> None:
        async with log:
            await work(await log.claim(limit, QueueCursor()))

    asyncio.run(run())


def table(log: LogLocation, query: str) -> list[dict[str, Any]]:
    """Return rows of the log as another process sees them."""
    with closing(_connected(log)) as connection:
        found = connection.execute(query)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def change(log: LogLocation, statement: str) -> int:
    """Execute a statement on the log as another program of its administrator would; return how many rows it changed.

    Raises:
        RefusedError: the log does not admit the change.
    """
    with closing(_connected(log, user="postgres")) as connection:
        try:
            number = connection.execute(statement).rowcount
            connection.commit()
        except Exception as error:
            if type(error).__name__ in {"IntegrityError", "CheckViolation"}:
                raise RefusedError(str(error)) from error
            raise
        return int(number)


class RefusedError(Exception):
    """The log does not admit a change: its text is what the log said."""


def _connected(log: LogLocation, **others: str) -> Any:  # noqa: ANN401 - a connection of either library
    if isinstance(log, Path):
        return sqlite3.connect(log)
    import psycopg  # noqa: PLC0415 - only where a test needs it

    parameters: dict[str, Any] = {**log.parameters, "options": "-c search_path=campaign", **others}
    return psycopg.connect(**parameters)


def states(path: LogLocation) -> dict[str, str]:
    """Return each recipient's state by key."""
    return {row["key"]: row["state"] for row in table(path, "SELECT key, state FROM delivery ORDER BY id")}


def history(path: LogLocation) -> list[tuple[str, str, str]]:
    """Return each transition as (from, to, actor)."""
    rows = table(path, "SELECT old_state, new_state, actor FROM history ORDER BY id")
    return [(row["old_state"], row["new_state"], row["actor"]) for row in rows]


def make_schema_3(connection: sqlite3.Connection) -> None:
    """Take from a log what schema 4 added."""
    for name in ("delivery_identity", "delivery_queue"):
        connection.execute(f"DROP INDEX {name}")
    for name in ("step", "step_number", "batch", "position", "due_at", "waiting", "sent_at", "replaced_token"):
        connection.execute(f"ALTER TABLE delivery DROP COLUMN {name}")
    for name in (
        "steps", "quota", "quota_until", "file", "holdout", "drawn", "revoked_at", "reading_after", "reading_step",
    ):  # fmt: skip
        connection.execute(f"ALTER TABLE campaign DROP COLUMN {name}")
    for name in ("batch", "former_delivery", "sign_in", "stranger", "inquiry", "user_creation", "renewal"):
        connection.execute(f"DROP TABLE {name}")
    connection.execute("ALTER TABLE tag_key DROP COLUMN declined")
    connection.execute("CREATE UNIQUE INDEX delivery_identity ON delivery (campaign_id, key, slot)")
    connection.execute("CREATE INDEX delivery_queue ON delivery (campaign_id, state, enlistment, not_before, id)")
    connection.execute("PRAGMA user_version = 3")
