"""Keep the sandbox's keys: secret key, publishable key, and the RSA key for its JWTs: `Keys`."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from campaign.sandbox.errors import SandboxError
from campaign.sandbox.identifiers import new_id

if TYPE_CHECKING:
    from campaign.sandbox.database import Database


class Keys:
    """The keys, made at the first start and stored in the database.

    Attributes:
        secret: `sk_test_…`, which requests to the Backend API must carry.
        host: the Frontend API's host in the publishable key. It ends in `.clerk.accounts.dev`, so that clerk-js
            sends the browser's identity in `__clerk_db_jwt` and not in a cookie.
        publishable: `pk_test_…`, for the landing page.
        instance: `ins_…`, the `kid` of the JWTs.
    """

    def __init__(self, database: Database) -> None:
        self.secret = database.setting("secret_key", f"sk_test_{secrets.token_hex(21)}")
        self.host = database.setting("host", f"sandbox-{secrets.token_hex(4)}.clerk.accounts.dev")
        self.instance = database.setting("instance", new_id("ins"))
        fresh = "" if database.has_setting("private_key") else _new_private_key()
        pem = database.setting("private_key", fresh).encode()
        # the check of its numbers takes as long as the rest of a start, and the sandbox made them itself
        private = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(private, RSAPrivateKey):
            raise SandboxError("The sandbox's private key is not an RSA key; remove the sandbox's folder.")
        self._private = private
        self._public = private.public_key()

    @property
    def publishable(self) -> str:
        """The publishable key: `pk_test_`, then the host in base64."""
        return f"pk_test_{base64.b64encode(f'{self.host}$'.encode()).decode()}"

    def sign(self, claims: dict[str, Any], **header: str) -> str:
        """Return a JWT with these claims, signed with RS256."""
        return jwt.encode(claims, self._private, algorithm="RS256", headers={"kid": self.instance} | header)

    def claims_of(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a JWT that this sandbox signed, else None. Does not check `exp`."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._public, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
            )
        except jwt.InvalidTokenError:
            return None
        return claims

    def jwks(self) -> dict[str, Any]:
        """Return the public key in the form of `GET /v1/jwks` (RFC 7517 §5)."""
        key = RSAAlgorithm.to_jwk(self._public, as_dict=True)
        return {
            "keys": [
                {
                    "use": "sig",
                    "kid": self.instance,
                    "alg": "RS256",
                    "kty": "RSA",
                    "n": key["n"],
                    "e": key["e"],
                }
            ]
        }


def _new_private_key() -> str:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
