"""The inbox: what a person sees of the sandbox in a browser, and of a campaign before anything is sent."""

from campaign.sandbox.inbox.door import inbox_pages
from campaign.sandbox.inbox.rows import Row, Rows, preview_app

__all__ = ["Row", "Rows", "inbox_pages", "preview_app"]
