"""Read the DKIM private key from its file and compute the DNS record to publish: `read_key`."""

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

#: RFC 8301 §3.2: verifiers do not accept shorter RSA keys.
_MIN_RSA_BITS = 1024
#: RFC 8301 §3.2: signers should use at least 2048 bits, and verifiers need not support more than 4096.
_ADVISED, _KNOWN = 2048, 4096


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, ready to sign."""

    #: `rsa` or `ed25519`, as the DNS record names it.
    kind: str
    bits: int
    #: The public key as it stands in the DNS record.
    public: str = field(repr=False)
    #: Returns the signature of the given bytes; `algorithm` names the algorithm.
    sign: Callable[[bytes], bytes] = field(repr=False)

    @property
    def algorithm(self) -> str:
        """The value of the tag `a=` in a signature."""
        return f"{self.kind}-sha256"

    @property
    def is_slow(self) -> bool:
        """Whether signing takes long enough to use a thread: RSA takes 0.2 ms, Ed25519 a tenth of that."""
        return self.kind == "rsa"

    @property
    def record(self) -> str:
        """The TXT record to publish (RFC 6376 §3.6.1, RFC 8463 §4)."""
        return f"v=DKIM1; k={self.kind}; p={self.public}"

    @property
    def doubt(self) -> str | None:
        """A warning about the key's length, as a sentence without its full stop; None if there is none."""
        if self.kind == "rsa" and self.bits < _ADVISED:
            return f"the RSA key has {self.bits} bits; RFC 8301 advises at least {_ADVISED}"
        if self.kind == "rsa" and self.bits > _KNOWN:
            return f"the RSA key has {self.bits} bits; some receivers cannot verify more than {_KNOWN} (RFC 8301)"
        return None


def read_key(path: Path) -> SigningKey:
    """Return the key of a PEM file.

    Raises:
        SettingsError: the file holds no usable key; the text names the setting and the file, never its contents.
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
            "is encrypted, and campaign cannot ask for its passphrase; decrypt it with: "
            f"openssl pkey -in {shlex.quote(str(path))} -out {clear}"
        )
    except (ValueError, UnsupportedAlgorithm):
        problem = f"contains no private key in PEM form; name the private key's file, or {make}"
    # Raised after the `except`, so that the traceback contains nothing from the file.
    if problem:
        raise SettingsError(f"{name} {problem}")
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        # RFC 8463 §3: PureEdDSA of the hash
        return SigningKey("ed25519", 256, b64encode(raw).decode(), lambda data: key.sign(sha256(data).digest()))
    if not isinstance(key, RSAPrivateKey):
        raise SettingsError(f"{name} contains a key that is neither RSA nor Ed25519; {make}")
    if key.key_size < _MIN_RSA_BITS:
        raise SettingsError(
            f"{name} contains an RSA key of {key.key_size} bits, but RFC 8301 requires at least {_MIN_RSA_BITS}; {make}"
        )
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    padding, digest = PKCS1v15(), SHA256()
    return SigningKey("rsa", key.key_size, b64encode(der).decode(), lambda data: key.sign(data, padding, digest))


def _making(path: Path) -> str:
    place = shlex.quote(str(path.with_name("dkim.pem")))
    return f"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{_ADVISED} -out {place}"
