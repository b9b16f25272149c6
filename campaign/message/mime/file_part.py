"""Write a file as a MIME part, for an attachment or an inline image: `file_part`, `content_id`, `media_type_of`."""

from __future__ import annotations

import mimetypes
import re
from binascii import b2a_base64
from hashlib import sha256
from urllib.parse import quote

#: RFC 2045 §6.8: at most 76 characters on a line.
_MAX_ENCODED_LINE = 76
#: The usual limit of a file's name; percent-encoded it fits on one line (RFC 5322 §2.1.1).
_MAX_NAME_BYTES = 255
#: Control characters, and bidirectional marks, which make `exe.pdf` out of `fdp.exe` (UAX #9 §2).
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f/\\\\\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_COMPOSITE = ("multipart/", "message/")
#: Only the table of the standard library and this one, so that every machine gives a file the same type.
_TYPES = mimetypes.MimeTypes()
_OFFICE = "application/vnd.openxmlformats-officedocument"
for _ending, _type in {
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".ics": "text/calendar",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".pkpass": "application/vnd.apple.pkpass",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".webp": "image/webp",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
}.items():
    _TYPES.add_type(_type, _ending)


def media_type_of(name: str) -> str:
    """Return the media type for a file's name; `application/octet-stream` if its ending is not known."""
    found, encoding = _TYPES.guess_type(name, strict=False)
    if encoding is not None:
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    # RFC 2045 §6.4: a composite type must not be in base64
    return found if found and not found.startswith(_COMPOSITE) else "application/octet-stream"


def content_id(name: str, domain: str) -> str:
    """Return the Content-ID of a file without its angle brackets (RFC 2392); it does not reveal the file's name."""
    return f"{sha256(name.encode('utf-8', 'replace')).hexdigest()[:32]}@{domain}"


def file_part(content: bytes, *, name: str, media_type: str, delimiter: bytes, cid: str = "") -> bytes:
    """Return a part with its delimiter line in front: headers and base64 (RFC 2045 §6.8), each line with CRLF.

    Args:
        content: the file.
        name: the name that readers see.
        media_type: without parameters.
        delimiter: `--` and the boundary of the multipart that holds the part.
        cid: the Content-ID of an image that the HTML shows; empty for an attachment.

    Raises:
        ValueError: the name is empty or too long, or contains a slash or a control character; the text is a sentence.
    """
    if media_type.startswith("text/") and _is_utf8(content):
        media_type += '; charset="utf-8"'
    headers = [
        f"Content-Type: {media_type}",
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: {'inline' if cid else 'attachment'};\r\n {_filename(name)}",
        *([f"Content-ID: <{cid}>"] if cid else []),
    ]
    return b"".join((delimiter, b"\r\n", "\r\n".join(headers).encode("ascii"), b"\r\n\r\n", _base64(content)))


def _filename(name: str) -> str:
    """Return the parameter `filename` (RFC 2183 §2.3): quoted if it is ASCII, else percent-encoded (RFC 2231 §4)."""
    if not name.strip() or _REFUSED.search(name) or len(name.encode()) > _MAX_NAME_BYTES:
        raise ValueError(
            f"{name[:40]!r} cannot be the name of a file: it needs 1 to {_MAX_NAME_BYTES} bytes without slashes and "
            "control characters."
        )
    # with `=?` a reader could take it for an encoded word
    if name.isascii() and "=?" not in name:
        return 'filename="' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return f"filename*=utf-8''{quote(name, safe='')}"


def _base64(content: bytes) -> bytes:
    encoded = b2a_base64(content, newline=False)
    lines = [encoded[at : at + _MAX_ENCODED_LINE] for at in range(0, len(encoded), _MAX_ENCODED_LINE)]
    return b"\r\n".join((*lines, b""))


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
