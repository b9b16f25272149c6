"""Send messages to the mail server: `Pool.send`. Each connection carries one transaction at a time."""

from campaign.smtp.connector import Connector
from campaign.smtp.pool import Pool
from campaign.smtp.terms import Envelope, Features, Timeouts

__all__ = ["Connector", "Envelope", "Features", "Pool", "Timeouts"]
