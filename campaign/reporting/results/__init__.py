"""Show what came of a campaign: `results_lines` for a terminal, `results_object` for JSON."""

from campaign.reporting.results.text import results_lines, results_object

__all__ = ["results_lines", "results_object"]
