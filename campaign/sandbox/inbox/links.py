"""Find the links of a mail that carry a sign-in token, their local address and the token's status: `Links`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from campaign.sandbox.inbox.markup import Anchor, addresses, framed
from campaign.sandbox.tokens import TokenStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from campaign.sandbox.inbox.letter import Letter
    from campaign.sandbox.state import State
    from campaign.sandbox.tokens import StoredToken

#: Scheme, host and port; then path, query and fragment, which stay unchanged.
_URL = re.compile(r"(?i:https?)://[^/?#\s]+([/?#]\S*)?")

#: The links that may lead out of the sandbox.
_OUTSIDE = re.compile(r"(?i)(?:https?://|mailto:|tel:)")

#: Tells the landing page which parameter of the fragment holds the token: a browser does not send the fragment.
_TOLD = "__parameter"

#: The start of every JWT: `{"` in base64.
_JWT = "eyJ"


class LinkStatus(StrEnum):
    """The status of a token in plain words; unlike Clerk's, it includes expired."""

    PENDING = "pending"
    USED = "used"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Link:
    """A link in a mail."""

    #: The URL exactly as in the mail.
    url: str
    #: Its link texts in the HTML; empty if the link is only in the text body.
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A sign-in token in a mail."""

    token: StoredToken
    links: tuple[Link, ...]

    @property
    def fate(self) -> LinkStatus:
        """The status of the token."""
        if self.token.expired:
            return LinkStatus.EXPIRED
        return {
            TokenStatus.PENDING: LinkStatus.PENDING,
            TokenStatus.ACCEPTED: LinkStatus.USED,
            TokenStatus.REVOKED: LinkStatus.REVOKED,
        }[self.token.status]

    @property
    def moment(self) -> int:
        """The instant of that status in milliseconds: of use or revocation, else of expiry, past or future."""
        decided = self.fate in {LinkStatus.USED, LinkStatus.REVOKED}
        return self.token.updated_at if decided else self.token.expires_at


def links_of(letter: Letter) -> list[Link]:
    """Return a mail's links, each URL once: first those of the HTML, then those only in the text body."""
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
    """Resolves links against the tokens of this sandbox."""

    def __init__(self, state: State, is_unsubscribe: Callable[[str], bool] = lambda _: False) -> None:
        self._state = state
        self._is_unsubscribe = is_unsubscribe

    def tickets(self, links: list[Link]) -> list[Ticket]:
        """Return the tokens in these links, each with its links."""
        carried: dict[str, list[Link]] = {}
        for link in links:
            found = self.carried(link.url)
            if found is not None:
                carried.setdefault(found[1], []).append(link)
        tokens = ((self._state.tokens.get(token_id), at) for token_id, at in carried.items())
        return [Ticket(token, tuple(at)) for token, at in tokens if token is not None]

    def carried(self, url: str) -> tuple[str, str] | None:
        """Return the parameter with a token of this sandbox, as `link.parameter` names it, and the token's id."""
        return next(
            (
                (name, token_id)
                for name, value in _jwts(url)
                if (token_id := self._state.tokens.id_in(value)) is not None
            ),
            None,
        )

    def follow(self, url: str, *, site: str) -> str | None:
        """Return the address for a link: on `site` if it signs in or unsubscribes, else the link itself.

        None means that the link cannot be opened from a mail.
        """
        if self._is_unsubscribe(url):
            return here(url, site=site)
        found = self.carried(url)
        if found is None:
            return outside(url)
        address, mark, fragment = url.partition("#")
        if found[0].startswith("#"):
            address += f"{'&' if '?' in address else '?'}{urlencode({_TOLD: found[0]})}"
        return here(address + mark + fragment, site=site)


def outside(url: str) -> str | None:
    """Return the link if it can be opened from a mail; None for a script or a path without a host."""
    return url if _OUTSIDE.match(url) else None


def here(url: str, *, site: str) -> str | None:
    """Return the same path, query and fragment on `site`, or None if the link has no host."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    rest = found[1] or ""
    return f"{site}{rest}" if rest.startswith("/") else f"{site}/{rest}"


def parameter_of(query: str, links: Links) -> str:
    """Return the parameter with the token: a token of this sandbox, else what `follow` told, any JWT, or `token`."""
    found = links.carried(f"?{query}")
    if found:
        return found[0]
    told = (value for name, value in parse_qsl(query) if name == _TOLD)
    return next(told, None) or next((name for name, _ in _jwts(f"?{query}")), "token")


def _jwts(url: str) -> Iterator[tuple[str, str]]:
    address, _, fragment = url.partition("#")
    fields = [*parse_qsl(address.partition("?")[2]), *((f"#{name}", value) for name, value in parse_qsl(fragment))]
    return ((name, value) for name, value in fields if value.startswith(_JWT))
