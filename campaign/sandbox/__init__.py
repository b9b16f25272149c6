"""The sandbox for trying campaigns: a Clerk-compatible server and a mail server on loopback.

It imports nothing else from the package, so that it cannot share a bug with the code that it tests.
"""

from campaign.sandbox.errors import SandboxError
from campaign.sandbox.rewind import forget_after, latest_in
from campaign.sandbox.server import Sandbox

__all__ = ["Sandbox", "SandboxError", "forget_after", "latest_in"]
