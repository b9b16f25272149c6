"""Clerk's Backend API. `client.Clerk` makes the calls."""
