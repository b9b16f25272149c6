"""What came of a campaign: `ask_clerk` who signed in since, then `results_of` the send log."""

from campaign.results.asking import ask_clerk
from campaign.results.counting import Results, count_results, results_of

__all__ = ["Results", "ask_clerk", "count_results", "results_of"]
