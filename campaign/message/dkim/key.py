"""The private key that signs mails: read from its file, with the DNS record that belongs to it. Nothing is asked."""

from __future__ import annotations

import shlex
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from campaign.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: RFC 8301 §3.2: RSA keys below are not believed.
_MIN_RSA_BITS = 1024
#: The same section: signers should use as many, and verifiers need not know more than the last.
_ADVISED, _KNOWN = 2048, 4096


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, ready to sign."""

    #: `rsa` or `ed25519`, as the DNS record names it.
    kind: str
    bits: int
    #: The public key as the DNS record has it.
    public: str = field(repr=False)
    #: Returns the signature of some octets, by the algorithm that is named below.
    sign: Callable[[bytes], bytes] = field(repr=False)

    @property
    def algorithm(self) -> str:
        """The tag `a=` of a signature."""
        return f"{self.kind}-sha256"

    @property
    def is_slow(self) -> bool:
        """Whether a signature takes long enough (RSA 0.2 ms, Ed25519 a tenth of it) to be handed to a thread."""
        return self.kind == "rsa"

    @property
    def record(self) -> str:
        """The TXT record to publish (RFC 6376 §3.6.1, RFC 8463 §4)."""
        return f"v=DKIM1; k={self.kind}; p={self.public}"

    @property
    def doubt(self) -> str | None:
        """What speaks against the key, as a sentence without its full stop."""
        if self.kind == "rsa" and self.bits < _ADVISED:
            return f"the RSA key has {self.bits} bits, and {_ADVISED} are advised (RFC 8301)"
        if self.kind == "rsa" and self.bits > _KNOWN:
            return f"the RSA key has {self.bits} bits, and more than {_KNOWN} need not be understood (RFC 8301)"
        return None


def read_key(path: Path) -> SigningKey:
    """Return the key of a PEM file.

    Raises:
        SettingsError: there is none that can be used; the text names the setting and the file, and holds nothing of it.
    """
    name = f"CAMPAIGN_DKIM_KEY: {path}"
    make = f"make a key with: {_making(path)}"
    problem = None
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        problem = f"does not exist; correct the path, or {make}"
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); name a file that this user may read"
    except TypeError:
        clear = shlex.quote(f"{path}.clear")
        problem = (
            "is encrypted, and nobody is there to type its passphrase; write it in clear with: "
            f"openssl pkey -in {shlex.quote(str(path))} -out {clear}"
        )
    except (ValueError, UnsupportedAlgorithm):
        problem = f"holds no private key in PEM form; name the private key's file, or {make}"
    # Raised behind the `except`, so that nothing of the file is part of the traceback.
    if problem:
        raise SettingsError(f"{name} {problem}")
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        # RFC 8463 §3: PureEdDSA of the hash
        return SigningKey("ed25519", 256, b64encode(raw).decode(), lambda octets: key.sign(sha256(octets).digest()))
    if not isinstance(key, RSAPrivateKey):
        raise SettingsError(f"{name} holds a key that is neither RSA nor Ed25519; {make}")
    if key.key_size < _MIN_RSA_BITS:
        raise SettingsError(
            f"{name} holds an RSA key of {key.key_size} bits, and {_MIN_RSA_BITS} are the least (RFC 8301); {make}"
        )
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    padding, digest = PKCS1v15(), SHA256()
    return SigningKey("rsa", key.key_size, b64encode(der).decode(), lambda octets: key.sign(octets, padding, digest))


def _making(path: Path) -> str:
    place = shlex.quote(str(path.with_name("dkim.pem")))
    return f"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{_ADVISED} -out {place}"
