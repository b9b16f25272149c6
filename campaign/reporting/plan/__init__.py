"""Show a plan: `plan_lines` for a terminal, `plan_object` for JSON, `plan_page` as an HTML page."""

from campaign.reporting.plan.page import MARK, plan_page
from campaign.reporting.plan.text import plan_lines, plan_object

__all__ = ["MARK", "plan_lines", "plan_object", "plan_page"]
