"""Read from an accepted message its id, its recipients and the tokens in its links: `read_mail`."""

from __future__ import annotations

import email
import email.utils
import html
import re
from dataclasses import dataclass
from email.header import decode_header, make_header
from urllib.parse import parse_qs, urlsplit

_HREF = re.compile(r"""\b(?:href|src)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE)
_BARE = re.compile(r"https?://[^\s<>\"]+")


@dataclass(frozen=True)
class Mail:
    """The parts of a message that are recorded."""

    message_id: str
    #: The decoded text.
    subject: str
    #: The addresses of all To, Cc and Bcc headers.
    to: list[str]
    #: The distinct tokens in all parts, sorted.
    tokens: list[str]
    #: The tokens by content type, distinct and sorted.
    by_part: dict[str, list[str]]


def read_mail(data: bytes, parameter: str) -> Mail:
    """Return the recorded parts of a message; `parameter` is the query parameter with the token in its links."""
    message = email.message_from_bytes(data)
    by_part: dict[str, list[str]] = {}
    for part in message.walk():
        kind = part.get_content_type()
        if part.is_multipart() or not kind.startswith("text/"):
            continue
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
        by_part[kind] = sorted(_tokens(text, parameter, markup=kind == "text/html"))
    headers = [str(value) for name in ("To", "Cc", "Bcc") for value in message.get_all(name, [])]
    return Mail(
        message_id=str(message.get("Message-ID", "")).strip(),
        subject=str(make_header(decode_header(str(message.get("Subject", ""))))),
        to=[address for _, address in email.utils.getaddresses(headers)],
        tokens=sorted({token for tokens in by_part.values() for token in tokens}),
        by_part=by_part,
    )


def _tokens(text: str, parameter: str, *, markup: bool) -> set[str]:
    if markup:
        links = [html.unescape(next(filter(None, found), "")) for found in _HREF.findall(text)]
    else:
        links = _BARE.findall(text)
    return {token for link in links for token in _query(link).get(parameter, [])}


def _query(link: str) -> dict[str, list[str]]:
    try:
        return parse_qs(urlsplit(link).query)
    except ValueError:
        return {}
