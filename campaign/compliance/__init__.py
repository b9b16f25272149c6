"""The rules of mailbox providers and mail programs, held against a campaign: each one gives a `Finding`."""
