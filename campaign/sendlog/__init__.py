"""The durable send log: the queue of a campaign and the truth about it, in SQLite."""

from campaign.sendlog.enlisting import Enlistment
from campaign.sendlog.files import held
from campaign.sendlog.log import Lane, Recovered, SendLog
from campaign.sendlog.reading import FIELDS, LogReader

__all__ = ["FIELDS", "Enlistment", "Lane", "LogReader", "Recovered", "SendLog", "held"]
