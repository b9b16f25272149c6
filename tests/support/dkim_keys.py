"""Make DKIM keys for the tests, and check signatures with dkimpy, an independent verifier: `pem`, `verifies`."""

from __future__ import annotations

import warnings
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: An RSA key of 512 bits, too short for today's libraries to generate.
_SMALL = """
MIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEA6gzo5QfsbjIMVa69VKDaCcpgz62r2HS+09y+HGACAV9haNG70/H4sWZPbWtU2Sh7
oviHsqSwBJAFsnTxlrBIwQIDAQABAkAg6MXKhm2xJOplFdfbUW63F7S7HuFd4zR917kHhlxh0sGkovWQeiBw/dALFTvATS2yQcTAngo8NCyFrKM3
cktRAiEA+x+PQ4Mr5tHfxB7DgFiEGOJo+AQoDzIetBPdgnD5T7UCIQDumHlGoZ/YgKWoXm1pZIepFMBfMYG+dRZ7tixJZBGEXQIgY0zwfrbQ1l4p
SMkNb6QQ4DIvZdtm59Ne1sCAOANqYn0CIQDbxCuoyERgehacH+XtdsCSF+Adjo8wK886whDGxNpxrQIgaFVqXCimxmQa1WpVIRfO2SOMksoxGPQ3
sjDxo3ZV7ho=
"""

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # warnings of dkimpy itself
    import dkim
    from dkim.canonicalization import Relaxed


@cache
def pem(kind: str) -> bytes:
    """Return a private key by kind: `rsa` with its bits, `ed25519`, `ec`, or a kind of PEM that is no usable key."""
    if kind == "encrypted":
        return _key("rsa2048").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
    if kind == "public":
        return _key("rsa2048").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if kind == "rsa512":
        return f"-----BEGIN PRIVATE KEY-----{_SMALL}-----END PRIVATE KEY-----\n".encode()
    if kind == "pkcs1":
        return _key("rsa2048").private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return _key(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def _key(kind: str) -> RSAPrivateKey | Ed25519PrivateKey | ec.EllipticCurvePrivateKey:
    if kind.startswith("rsa"):
        return generate_private_key(65537, int(kind.removeprefix("rsa")))
    return Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


def write_key(folder: Path, kind: str, name: str = "dkim.pem") -> Path:
    """Write a private key and return its path."""
    path = folder / name
    path.write_bytes(pem(kind))
    return path


def public_key(kind: str) -> str:
    """Return the public half of an RSA key, as the tag `p=` of a DKIM record has it (RFC 6376 §3.6.1)."""
    found = _key(kind).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(found).decode()


def canonical(message: bytes) -> tuple[list[tuple[bytes, bytes]], bytes] | None:
    """Return the relaxed headers and the body according to dkimpy; None if it cannot parse the message."""
    try:
        headers, body = dkim.rfc822_parse(message)
    except dkim.MessageFormatError:
        return None
    return Relaxed.canonicalize_headers(headers), body


def verifies(message: bytes, records: Mapping[str, str]) -> bool:
    """Return whether dkimpy accepts the first signature of a message, with these TXT records in the DNS."""

    def txt(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        found = records.get(name.decode().rstrip("."))
        return None if found is None else found.encode()

    try:
        return bool(dkim.verify(message, dnsfunc=txt))
    except dkim.MessageFormatError:
        return False
