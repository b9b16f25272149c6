"""The durable send log: the queue of a campaign and the truth about it, in SQLite."""

from campaign.sendlog.enlisting import Enlistment
from campaign.sendlog.files import discard, held
from campaign.sendlog.log import SendLog
from campaign.sendlog.operator_actions import (
    is_empty,
    keep_uncertain,
    resend_uncertain,
    retry,
    revoke_everything,
    revoke_uncertain,
)
from campaign.sendlog.queue_cursor import QueueCursor
from campaign.sendlog.reading import FIELDS, LogReader

__all__ = [
    "FIELDS",
    "Enlistment",
    "LogReader",
    "QueueCursor",
    "SendLog",
    "discard",
    "held",
    "is_empty",
    "keep_uncertain",
    "resend_uncertain",
    "retry",
    "revoke_everything",
    "revoke_uncertain",
]
