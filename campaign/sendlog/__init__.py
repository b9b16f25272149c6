"""The durable send log: the queue of a campaign and the truth about it, in SQLite."""

from campaign.sendlog.enlisting import Enlistment
from campaign.sendlog.files import held
from campaign.sendlog.lanes import Lane
from campaign.sendlog.log import SendLog
from campaign.sendlog.operating import keep_uncertain, resend_uncertain, retry, revoke_everything, revoke_uncertain
from campaign.sendlog.reading import FIELDS, LogReader

__all__ = [
    "FIELDS",
    "Enlistment",
    "Lane",
    "LogReader",
    "SendLog",
    "held",
    "keep_uncertain",
    "resend_uncertain",
    "retry",
    "revoke_everything",
    "revoke_uncertain",
]
