"""Answer unsubscribe links over HTTP, beside a run: `UnsubscribeEndpoint`. `campaign serve` runs it."""

from campaign.unsubscribe.endpoint import UnsubscribeEndpoint, application

__all__ = ["UnsubscribeEndpoint", "application"]
