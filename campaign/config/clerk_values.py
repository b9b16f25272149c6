"""Validate Clerk's keys and the URL of its Backend API: `require_key`, `parse_origin`."""

from __future__ import annotations

from urllib.parse import urlsplit

from campaign.config.server_url import host_and_port, is_loopback

SECRET_KEYS = ("sk_live_", "sk_test_")
PUBLISHABLE_KEYS = ("pk_live_", "pk_test_")


def require_key(key: str, *, kinds: tuple[str, str], called: str) -> None:
    """Raise ValueError unless a key begins as one of these kinds and can be sent in a header."""
    if not key.startswith(kinds) or key in kinds:
        raise ValueError(f"{called} must begin with {kinds[0]} or {kinds[1]}; copy it from Clerk's dashboard, API keys")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError(f"{called} contains a space or a character that is not allowed in a key; copy it again")


def parse_origin(url: str) -> str:
    """Return scheme, host and port of Clerk's Backend API.

    Raises:
        ValueError: it has another part than these and the path `/v1`; the message contains no part of the URL.
    """
    example = "write an origin such as https://api.clerk.com"
    if not (url.isascii() and url.isprintable()) or set(url) & set(' \\"<>'):
        raise ValueError(f"it contains a character that is not allowed in a URL; {example}")
    try:
        parts = urlsplit(url)
    except ValueError:
        # The message of `urlsplit` quotes the URL with user and password.
        raise ValueError(f"it is not a URL; {example}") from None
    try:
        host, port = host_and_port(parts)
    except ValueError as error:
        raise ValueError(f"{error}; {example}") from None
    if parts.scheme not in {"https", "http"}:
        raise ValueError(f"it is not an https:// URL; {example}")
    if "@" in parts.netloc or "?" in url or "#" in url or parts.path.rstrip("/") not in {"", "/v1"}:
        raise ValueError(f"it cannot contain a user, a query or a path other than /v1; {example}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("http:// would send the secret key unencrypted; write https://")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" if port is None else f"{parts.scheme}://{shown}:{port}"
