"""Plan a campaign without running it: `forecast` returns a `Forecast`, who would be mailed when."""

from campaign.planning.forecast import Forecast, PlannedHour, forecast

__all__ = ["Forecast", "PlannedHour", "forecast"]
