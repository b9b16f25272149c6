"""The send log of one campaign, `SendLog`, for the one run or command that has its lock."""

from __future__ import annotations

from campaign.sendlog.holdout import HoldoutDraw
from campaign.sendlog.operator_actions import OperatorActions
from campaign.sendlog.preparation import Preparation
from campaign.sendlog.revocations import Revocations
from campaign.sendlog.suppressed_rows import SuppressedRows
from campaign.sendlog.user_creations import UserCreations


class SendLog(Preparation, SuppressedRows, HoldoutDraw, Revocations, UserCreations, OperatorActions):
    """A send log, open for writing.

    It implements the interfaces of `interfaces.py`: `PreparationLog`, `RunLog` (within `async with log:`) and
    `OperatorLog`. Each caller declares the one that it needs. Every method that writes returns when the write is on
    the disk.
    """
