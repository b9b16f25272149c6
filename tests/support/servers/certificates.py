"""Make valid and invalid certificates for the mail server, from a temporary authority: `identity`."""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Certificate = Literal["good", "self-signed", "expired", "wrong-host", "untrusted"]


@dataclass(frozen=True)
class Identity:
    """A server's TLS context, and the authority as PEM for a client to trust."""

    context: ssl.SSLContext
    authority: bytes


@cache
def identity(certificate: Certificate) -> Identity:
    """Return an identity for 127.0.0.1 and localhost, with the requested fault."""
    authority = trustme.CA()
    pem = authority.cert_pem.bytes()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    hosts = ("127.0.0.1", "localhost")
    match certificate:
        case "good":
            authority.issue_cert(*hosts).configure_cert(context)
        case "untrusted":
            trustme.CA().issue_cert(*hosts).configure_cert(context)
        case "wrong-host":
            authority.issue_cert("mail.elsewhere.example").configure_cert(context)
        case "expired":
            past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
            authority.issue_cert(*hosts, not_after=past).configure_cert(context)
        case "self-signed":
            _load_self_signed(context)
    return Identity(context, pem)


def _load_self_signed(context: ssl.SSLContext) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context.load_cert_chain(path)
