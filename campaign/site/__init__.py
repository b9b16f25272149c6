"""The site's own endpoint that a run asks whether its mails are still wanted: `recheck_endpoint.py`."""
