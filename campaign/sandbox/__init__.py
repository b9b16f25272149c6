"""A sandbox to try campaigns in: a Clerk-compatible server and a mail server on loopback.

It imports nothing from the rest of the package, so that it cannot share a bug with what it is there to try.
"""

from campaign.sandbox.errors import SandboxError
from campaign.sandbox.server import Sandbox

__all__ = ["Sandbox", "SandboxError"]
