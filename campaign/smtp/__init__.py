"""The mail server: connections, a pool of them, and one transaction at a time on each."""

from campaign.smtp.connector import Connector
from campaign.smtp.pool import Pool
from campaign.smtp.terms import Envelope, Timeouts

__all__ = ["Connector", "Envelope", "Pool", "Timeouts"]
