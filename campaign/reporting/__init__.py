"""What a person sees of a campaign: progress, tables, the exported log and the report's page."""
