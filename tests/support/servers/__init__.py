"""Servers that misbehave on request: a mail server and a Clerk Backend API for the tests.

Nothing here imports `campaign`, so that no fault can be shared. Each server runs in a thread of the test
(`SmtpServer`, `ClerkServer`) or as a process of its own that outlives a killed sender (`ServerProcess`), and
writes what happened to a record before it answers.
"""
