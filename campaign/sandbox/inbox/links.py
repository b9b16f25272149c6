"""Which links of a mail carry a sign-in token, where they are opened here, and what became of the token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from campaign.sandbox.inbox.markup import Anchor, addresses, framed
from campaign.sandbox.tokens import TokenStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.sandbox.inbox.letter import Letter
    from campaign.sandbox.state import State
    from campaign.sandbox.tokens import SignInToken

#: Scheme, host and port; then path, query and fragment, which are kept as they are.
_URL = re.compile(r"(?i:https?)://[^/?#\s]+([/?#]\S*)?")

#: What a person may be led to outside of the sandbox.
_OUTSIDE = re.compile(r"(?i)(?:https?://|mailto:|tel:)")

#: What every JWT begins with: `{"` in base64.
_JWT = "eyJ"


class Fate(StrEnum):
    """What became of a token, in a person's words; Clerk itself has no word for an expired one."""

    PENDING = "pending"
    USED = "used"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a mail."""

    #: Exactly as the mail holds it.
    url: str
    #: What it is called in the HTML; empty where it stands in the text only.
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A sign-in token that a mail carries."""

    token: SignInToken
    links: tuple[Link, ...]

    @property
    def fate(self) -> Fate:
        """What became of it."""
        if self.token.expired:
            return Fate.EXPIRED
        return {
            TokenStatus.PENDING: Fate.PENDING,
            TokenStatus.ACCEPTED: Fate.USED,
            TokenStatus.REVOKED: Fate.REVOKED,
        }[self.token.status]

    @property
    def moment(self) -> int:
        """When that happened or will happen, in milliseconds: an end for what is pending or expired."""
        decided = self.fate in {Fate.USED, Fate.REVOKED}
        return self.token.updated_at if decided else self.token.expires_at


def links_of(letter: Letter) -> list[Link]:
    """Return a mail's links, each address once: those of the HTML, then what stands in the text only."""
    anchors = framed(letter.html).anchors if letter.html is not None else ()
    if letter.text is not None:
        anchors += tuple(Anchor(piece, "") for piece, is_address in addresses(letter.text) if is_address)
    names: dict[str, dict[str, None]] = {}
    for anchor in anchors:
        called = names.setdefault(anchor.url, {})
        if anchor.name and anchor.name != anchor.url:
            called[anchor.name] = None
    return [Link(url, tuple(called)) for url, called in names.items()]


class Links:
    """The links as this sandbox knows them."""

    def __init__(self, state: State) -> None:
        self._state = state

    def tickets(self, links: list[Link]) -> list[Ticket]:
        """Return the tokens that links carry, each with its links."""
        carried: dict[str, list[Link]] = {}
        for link in links:
            found = self.carried(link.url.partition("#")[0].partition("?")[2])
            if found is not None:
                carried.setdefault(found[1], []).append(link)
        tokens = ((self._state.tokens.get(token_id), at) for token_id, at in carried.items())
        return [Ticket(token, tuple(at)) for token, at in tokens if token is not None]

    def carried(self, query: str) -> tuple[str, str] | None:
        """Return the parameter of a query that holds a token of this sandbox, and the token's id."""
        return next(
            (
                (name, token_id)
                for name, value in _jwts(query)
                if (token_id := self._state.tokens.id_in(value)) is not None
            ),
            None,
        )

    def follow(self, url: str, *, site: str) -> str | None:
        """Return where a link is opened: at the landing page of `site` if it carries a token, else where it leads.

        None is for what leads nowhere from a mail.
        """
        if self.carried(url.partition("#")[0].partition("?")[2]) is not None:
            return here(url, site=site)
        return outside(url)


def outside(url: str) -> str | None:
    """Return a link that leads somewhere from a mail, or None: a script, or a path of no host."""
    return url if _OUTSIDE.match(url) else None


def here(url: str, *, site: str) -> str | None:
    """Return the same path, query and fragment on `site`, or None where the link has no host."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    rest = found[1] or ""
    return f"{site}{rest}" if rest.startswith("/") else f"{site}/{rest}"


def parameter_of(query: str, links: Links) -> str:
    """Return the query parameter that holds the token: one of this sandbox, else what looks like one, else `token`."""
    found = links.carried(query)
    return found[0] if found else next((name for name, _ in _jwts(query)), "token")


def _jwts(query: str) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in parse_qsl(query) if value.startswith(_JWT))
