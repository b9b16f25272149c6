"""Sends one email with a Clerk sign-in link to each user of a CSV, at most once."""
