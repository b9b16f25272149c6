"""The mail server: connections, a pool of them, and one transaction at a time on each."""

from campaign.smtp.dialing import Dialer
from campaign.smtp.pool import Pool
from campaign.smtp.terms import Envelope, Timeouts

__all__ = ["Dialer", "Envelope", "Pool", "Timeouts"]
