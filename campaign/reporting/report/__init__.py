"""A campaign looked back at: its numbers, from the send log, as one page for a person."""

from campaign.reporting.report.page import MARK, report_page

__all__ = ["MARK", "report_page"]
