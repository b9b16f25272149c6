"""DKIM's header field (RFC 6376): what of a message is signed, in which form, and how the field is written.

The canonical forms are relaxed for the headers, which relays fold anew, and simple for the body. Our bodies are
quoted-printable: no line ends with a blank (RFC 2045 §6.7 (3)), none is long and none begins with a full stop, so no
relay has a reason to touch them and relaxed would forgive nothing more that happens on the way; but to squeeze their
blanks would take twenty times as long as to hash them. No key is read here.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from hashlib import sha256
from typing import NamedTuple

#: What is signed where it is there; RFC 6376 §5.4.1.
_SIGNED = (
    b"from",
    b"to",
    b"reply-to",
    b"subject",
    b"date",
    b"message-id",
    b"list-id",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
)
#: RFC 5322 §2.1.1 recommends as many columns without CRLF.
_MAX_COLUMNS = 78
_FOLD = b"\r\n "
#: A fold with the blanks around it, or blanks that are not a single space.
_BLANKS = re.compile(rb"[ \t]*\r\n[ \t]+|\t[ \t]*| [ \t]+")


class Draft(NamedTuple):
    """A signature field that lacks nothing but the signature."""

    field: bytes
    #: What is to be signed.
    octets: bytes


class DkimField:
    """Writes the DKIM-Signature fields of one signer.

    Args:
        algorithm: `rsa-sha256` or `ed25519-sha256` (RFC 8463).
        domain: who signs, in A-labels.
        selector: which of its keys.
    """

    def __init__(self, *, algorithm: str, domain: str, selector: str) -> None:
        tags = f" v=1; a={algorithm}; c=relaxed/simple; d={domain}; s={selector};"
        self._start = _folded([b"DKIM-Signature:", *re.findall(rb" [^ ]+", tags.encode("ascii"))])
        #: The field up to the names of the signed headers, as it is written and in its canonical form.
        self._begun: dict[tuple[bytes, ...], tuple[bytes, bytes]] = {}

    def draft(self, message: bytes, at: int) -> Draft:
        """Return the field for a message that is sent as it is, in 7-bit (RFC 6376 §5.3).

        From is signed once more than it is there, so that none can be added (§5.4, §8.15).

        Args:
            message: headers, an empty line, a body, with CRLF line ends.
            at: seconds since the epoch.

        Raises:
            ValueError: it has no body, or no From.
        """
        head, separator, body = message.partition(b"\r\n\r\n")
        headers = _relaxed_headers(head)
        if not separator or b"from" not in headers:
            raise ValueError("what is to be signed is not a whole message")
        names = tuple(name for name in _SIGNED if name in headers)
        if names not in self._begun:
            self._begun = {names: self._begin(names)}
        written, canonical = self._begun[names]
        body_hash = b2a_base64(sha256(_simple_body(body)).digest(), newline=False)
        rest = b"t=%d; bh=%b;" % (at, body_hash)
        signed = [*map(headers.__getitem__, names), b"%b %b b=" % (canonical, rest)]
        return Draft(b"%b\r\n %b\r\n b=" % (written, rest), b"\r\n".join(signed))

    def _begin(self, names: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        *listed, last = (b"from", *names)
        written = (
            self._start + _FOLD + _folded([b"h=" + listed[0] + b":", *(n + b":" for n in listed[1:]), last + b";"])
        )
        return written, b"dkim-signature:" + _squeezed(written).partition(b": ")[2]


def signed(draft: Draft, signature: bytes, message: bytes) -> bytes:
    """Return a message with its signature in front."""
    encoded = b2a_base64(signature, newline=False)
    room = _MAX_COLUMNS - len(" b=")
    lines = [encoded[begin : begin + room] for begin in range(0, len(encoded), room)]
    return b"".join((draft.field, _FOLD.join(lines), b"\r\n", message))


def _relaxed_headers(head: bytes) -> dict[bytes, bytes]:
    """Return the relaxed form (RFC 6376 §3.4.2) of each header without its CRLF, by name; of several the last."""
    headers = {}
    for line in _squeezed(head).split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        headers[name] = b"%b:%b" % (name, value.strip(b" "))
    return headers


def _squeezed(head: bytes) -> bytes:
    """Return headers with each fold and each run of blanks made one space."""
    unfolded = head.replace(_FOLD, b" ")
    # seldom, and the expression looks at every octet
    return _BLANKS.sub(b" ", unfolded) if b"  " in unfolded or b"\t" in unfolded else unfolded


def _simple_body(body: bytes) -> bytes:
    """Return the simple form (RFC 6376 §3.4.3): exactly one CRLF at the end."""
    if body.endswith(b"\r\n\r\n") or not body.endswith(b"\r\n") or body == b"\r\n":
        while body.endswith(b"\r\n"):
            body = body[:-2]
        return body + b"\r\n"
    return body


def _folded(pieces: list[bytes]) -> bytes:
    """Return the pieces of a field on lines of 78 columns, as far as no piece is longer; a fold replaces a blank."""
    lines = [b""]
    for piece in pieces:
        if lines[-1] and len(lines[-1]) + len(piece) >= _MAX_COLUMNS:
            lines.append(piece.lstrip())
        else:
            lines[-1] += piece
    return _FOLD.join(lines)
