"""Deliver a campaign: `run.run` assembles a run, and `pipeline.Pipeline` delivers to each recipient."""
