"""Search files and outputs for leaked tokens, keys and passwords, whole or in pieces: `scan`."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

#: The length of the token pieces to search for; any leak of twice this length contains a whole piece.
PIECE = 20
_RUN = re.compile(rb"[A-Za-z0-9_-]{%d,}" % PIECE)


def forms(secret: str) -> set[bytes]:
    """Return a secret in the forms in which it may appear: plain, percent-encoded, in Base64."""
    plain = secret.encode()
    return {plain, quote(secret, safe="").encode(), base64.b64encode(plain), base64.urlsafe_b64encode(plain)}


def pieces(tokens: Iterable[str]) -> set[bytes]:
    """Return adjacent pieces of every token after its first dot; the part before it is the same in all tokens."""
    found: set[bytes] = set()
    for token in tokens:
        for part in token.encode().split(b".")[1:]:
            found.update(part[at : at + PIECE] for at in range(0, len(part) - PIECE + 1, PIECE))
    return found


def scan(places: Mapping[str, bytes], *, tokens: Iterable[str], secrets: Mapping[str, str]) -> list[str]:
    """Return a sentence for each place that contains a piece of a token, or a secret, given by name."""
    token_pieces = pieces(tokens)
    wanted = {name: forms(secret) for name, secret in secrets.items()}
    found: list[str] = []
    for place, content in places.items():
        found += [f"{place} holds {name}" for name, shapes in wanted.items() if any(s in content for s in shapes)]
        if _holds_piece(content, token_pieces):
            found.append(f"{place} holds a token or a part of one")
    return found


def _holds_piece(content: bytes, token_pieces: set[bytes]) -> bool:
    for run in _RUN.finditer(content):
        start, end = run.span()
        if any(content[at : at + PIECE] in token_pieces for at in range(start, end - PIECE + 1)):
            return True
    return False


def files_under(*folders: Path, without: Iterable[Path] = ()) -> dict[str, bytes]:
    """Return the contents of all files under the folders."""
    left_out = set(without)
    return {
        str(path): path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in left_out
    }
