"""The durable send log, which is also the queue of a campaign: `SendLog` writes it, `LogReader` reads it."""

from campaign.sendlog.backends import discard, exists, held, held_by_process, log_time, migrate, workers_of
from campaign.sendlog.counts import BatchCounts, Recovered, Summary
from campaign.sendlog.database import LogDatabase, LogLocation
from campaign.sendlog.enlisting import Enlistment
from campaign.sendlog.holdout import Holdout
from campaign.sendlog.interfaces import PreparationLog, RunLog
from campaign.sendlog.log import SendLog
from campaign.sendlog.operator_interface import OperatorLog
from campaign.sendlog.queue_cursor import QueueCursor
from campaign.sendlog.queue_reading import Progress, QueueContent, QueueReader, QueueState
from campaign.sendlog.reading import FIELDS, Explanation, LogReader, Whose
from campaign.sendlog.renewals import MAX_RENEWALS, LastMail, Renewals
from campaign.sendlog.returned_mail import ReturnedMail, ReturnedMessage
from campaign.sendlog.suppressions import Suppression, SuppressionList
from campaign.sendlog.worker_list import WorkerState

__all__ = [
    "FIELDS",
    "MAX_RENEWALS",
    "BatchCounts",
    "Enlistment",
    "Explanation",
    "Holdout",
    "LastMail",
    "LogDatabase",
    "LogLocation",
    "LogReader",
    "OperatorLog",
    "PreparationLog",
    "Progress",
    "QueueContent",
    "QueueCursor",
    "QueueReader",
    "QueueState",
    "Recovered",
    "Renewals",
    "ReturnedMail",
    "ReturnedMessage",
    "RunLog",
    "SendLog",
    "Summary",
    "Suppression",
    "SuppressionList",
    "Whose",
    "WorkerState",
    "discard",
    "exists",
    "held",
    "held_by_process",
    "log_time",
    "migrate",
    "workers_of",
]
