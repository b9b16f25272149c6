"""What the URLs of services have in common: the TLS context of their clients."""

from __future__ import annotations

import ssl

from campaign.config.server_url import tls_context


def test_https_is_verified_by_the_authorities_of_the_system() -> None:
    """A client for https:// verifies the certificate and the host, by what the system trusts."""
    context = tls_context("https://api.clerk.com/v1")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()


def test_http_reads_no_authorities() -> None:
    """A client for http:// reads no authorities, and would trust no server."""
    context = tls_context("http://127.0.0.1:8000")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] == 0
