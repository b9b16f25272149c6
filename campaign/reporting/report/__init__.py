"""Make the HTML report of a campaign from its send log: `report_page`."""

from campaign.reporting.report.page import MARK, report_page

__all__ = ["MARK", "report_page"]
