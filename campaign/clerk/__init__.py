"""Call Clerk's Backend API: `client.Clerk`."""
