"""A TLS context for HTTP clients that speak no TLS: `NO_TLS`."""

from __future__ import annotations

import ssl

#: For `verify` of httpx, which would load all authorities of the system for each client: 20 ms.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
