"""The inbox: web pages that show the sandbox's mail, and a preview of a campaign: `inbox_pages`."""

from campaign.sandbox.inbox.door import RENEWAL, inbox_pages
from campaign.sandbox.inbox.rows import Row, Rows, preview_app

__all__ = ["RENEWAL", "Row", "Rows", "inbox_pages", "preview_app"]
