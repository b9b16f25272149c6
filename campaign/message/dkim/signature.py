"""Write the DKIM-Signature header field (RFC 6376) of a message: `DkimField.draft`, then `signed`.

Headers use relaxed canonicalization, because relays fold them anew. Bodies use simple canonicalization: they are
quoted-printable, so no line ends with a blank (RFC 2045 §6.7 (3)), is too long or begins with a full stop, and relays
have no reason to change them. Relaxed canonicalization would not help, and would take 20 times as long as the hash.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Headers to sign if the message has them; RFC 6376 §5.4.1.
_SIGNED = (
    b"from",
    b"to",
    b"reply-to",
    b"subject",
    b"date",
    b"message-id",
    b"list-id",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"feedback-id",
    b"auto-submitted",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
)
#: RFC 5322 §2.1.1 recommends at most 78 characters a line without CRLF.
_MAX_COLUMNS = 78
_FOLD = b"\r\n "
#: A fold with the blanks around it, or blanks other than a single space.
_BLANKS = re.compile(rb"[ \t]*\r\n[ \t]+|\t[ \t]*| [ \t]+")


class Draft(NamedTuple):
    """A DKIM-Signature field that lacks only the signature."""

    field: bytes
    #: The bytes to sign.
    data: bytes


class DkimField:
    """Writes the DKIM-Signature fields of one signer.

    Args:
        algorithm: `rsa-sha256` or `ed25519-sha256` (RFC 8463).
        domain: the signing domain, in A-labels.
        selector: the name of the domain's key.
    """

    def __init__(self, *, algorithm: str, domain: str, selector: str) -> None:
        tags = f" v=1; a={algorithm}; c=relaxed/simple; d={domain}; s={selector};"
        self._start = _folded([b"DKIM-Signature:", *re.findall(rb" [^ ]+", tags.encode("ascii"))])
        #: The field up to the names of the signed headers, as it is sent and in its canonical form.
        self._begun: dict[tuple[bytes, ...], tuple[bytes, bytes]] = {}

    def draft(self, message: bytes, at: int, *, rest: Sequence[bytes] = ()) -> Draft:
        """Return the field for a message that is sent unchanged, in 7-bit (RFC 6376 §5.3).

        `h=` lists From once more than the message has it, so that no second From can be added (§5.4, §8.15).

        Args:
            message: headers, an empty line, a body, with CRLF line ends.
            at: seconds since the epoch.
            rest: further pieces of the body, each of which ends with a line that is not empty.

        Raises:
            ValueError: the message has no body, or no From.
        """
        head, separator, body = message.partition(b"\r\n\r\n")
        headers = _relaxed_headers(head)
        if not separator or b"from" not in headers:
            raise ValueError("the data to sign is not a complete message")
        names = tuple(name for name in _SIGNED if name in headers)
        if names not in self._begun:
            self._begun = {names: self._begin(names)}
        written, canonical = self._begun[names]
        # a body whose last line is not empty is canonical as it is
        digest = sha256(body if rest else _simple_body(body))
        for piece in rest:
            digest.update(piece)
        tags = b"t=%d; bh=%b;" % (at, b2a_base64(digest.digest(), newline=False))
        signed = [*map(headers.__getitem__, names), b"%b %b b=" % (canonical, tags)]
        return Draft(b"%b\r\n %b\r\n b=" % (written, tags), b"\r\n".join(signed))

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
    """Return the relaxed form (RFC 6376 §3.4.2) of each header without its CRLF, by name; the last one if repeated."""
    headers = {}
    for line in _squeezed(head).split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        headers[name] = b"%b:%b" % (name, value.strip(b" "))
    return headers


def _squeezed(head: bytes) -> bytes:
    """Return headers with each fold and each run of blanks replaced by one space."""
    unfolded = head.replace(_FOLD, b" ")
    # the regular expression is slow and seldom needed: it looks at every byte
    return _BLANKS.sub(b" ", unfolded) if b"  " in unfolded or b"\t" in unfolded else unfolded


def _simple_body(body: bytes) -> bytes:
    """Return the simple form of a body (RFC 6376 §3.4.3): exactly one CRLF at the end."""
    if body.endswith(b"\r\n\r\n") or not body.endswith(b"\r\n") or body == b"\r\n":
        while body.endswith(b"\r\n"):
            body = body[:-2]
        return body + b"\r\n"
    return body


def _folded(pieces: list[bytes]) -> bytes:
    """Join the pieces of a field on lines of at most 78 columns if each piece fits; a fold replaces a blank."""
    lines = [b""]
    for piece in pieces:
        if lines[-1] and len(lines[-1]) + len(piece) >= _MAX_COLUMNS:
            lines.append(piece.lstrip())
        else:
            lines[-1] += piece
    return _FOLD.join(lines)
