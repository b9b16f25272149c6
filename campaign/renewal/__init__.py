"""Answer requests for a new sign-in link over HTTP, beside a run: `RenewalEndpoint`. `campaign serve` runs it."""

from campaign.renewal.endpoint import RenewalEndpoint
from campaign.renewal.permission import permission

__all__ = ["RenewalEndpoint", "permission"]
