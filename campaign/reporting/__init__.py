"""What the operator sees of a campaign: progress, tables, the exported log and the report's page."""
