"""Servers that fail on request: a mail server and a Clerk Backend API for the tests.

Nothing here imports `campaign`, so that the servers cannot share its bugs. Each server runs in a thread of the test
(`SmtpServer`, `ClerkServer`), or as its own process that survives a killed sender (`ServerProcess`), and writes
what happened to a record before it answers.
"""
