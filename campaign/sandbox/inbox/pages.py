"""Render the inbox's pages from templates, with security headers and static files: `Pages`, `frame`."""

from __future__ import annotations

from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

_HEADERS = {
    "Cache-Control": "no-store",
    # `no-referrer` would also remove the origin from form requests, and `is_ours` needs it.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}

#: Response headers for a mail's HTML: no script, form or plug-in, an opaque origin, and nothing loaded from the
#: network. A link opens in a new tab without these restrictions.
FRAME = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:{images}; font-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
        "sandbox allow-popups allow-popups-to-escape-sandbox"
    ),
}

_FILES = {
    **{f"{sheet}.css": "text/css" for sheet in ("ground", "list", "mail", "rail", "widths")},
    "inbox.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

#: The view options that pages pass on in the query, with their defaults.
CHOICES: Mapping[str, str | None] = {
    "campaign": None,
    "address": "",
    "page": "1",
    "opened": "",
    "view": "",
    "width": "",
    "scheme": "",
    "images": "",
}

#: Longer option values are cut off.
_MAX_CHOICE_CHARS = 400


#: Numbers of more digits count as invalid: SQLite's integers end at 2^63.
_MAX_DIGITS = 13


class Place:
    """The address of a page: its path, and the view options in its query."""

    def __init__(self, path: str, choices: Mapping[str, str]) -> None:
        self.path = path
        self.choices = choices

    @classmethod
    def of(cls, request: Request) -> Place:
        """Return the address of a request, without unknown query parameters."""
        query = request.query_params
        return cls(request.url.path, {name: query[name][:_MAX_CHOICE_CHARS] for name in CHOICES if name in query})

    def __getitem__(self, name: str) -> str | None:
        """Return the value of an option, or its default."""
        return self.choices.get(name, CHOICES[name])

    def at(self, path: str | None = None, **changes: str | None) -> str:
        """Return an address with another path or other options; None removes an option."""
        chosen = {
            name: value
            for name, value in {**self.choices, **changes}.items()
            if value is not None and value != CHOICES[name]
        }
        query = urlencode(chosen)
        return (self.path if path is None else path) + (f"?{query}" if query else "")


class Pages:
    """Renders the pages below one path.

    Attributes:
        root: the prefix of every path; empty, or for example `/__inbox`.
    """

    def __init__(self, root: str, now: Callable[[], int] = lambda: 0) -> None:
        """Load the templates.

        Args:
            root: see above.
            now: returns the sandbox's time in milliseconds since the epoch.
        """
        self.root = root
        self._templates = Environment(
            loader=PackageLoader("campaign.sandbox.inbox"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["root"] = root
        self._templates.filters |= {"iso": iso, "size": size, "list_name": list_name}
        self._templates.filters["moment"] = lambda at: moment(at, now())
        folder = resources.files("campaign.sandbox.inbox") / "static"
        self._files = {name: (folder / name).read_bytes() for name in _FILES}

    def render(self, template: str, values: Mapping[str, object], *, status: int = 200, mark: str = "") -> HTMLResponse:
        """Return a page; `mark` is its ETag, for requests that ask whether it has changed."""
        headers = _HEADERS | ({"ETag": f'"{mark}"'} if mark else {})
        return HTMLResponse(self._templates.get_template(template).render(values), status, headers)

    def sentence(self, status: int, title: str, sentence: str) -> HTMLResponse:
        """Return a page with one sentence."""
        return self.render("sentence.html", {"title": title, "sentence": sentence}, status=status)

    def redirect(self, place: str) -> Response:
        """Return a redirect to another page (303: the browser then uses GET)."""
        return RedirectResponse(f"{self.root}{place}", 303, _HEADERS)

    def files(self) -> Route:
        """Return the route of the style sheet, the script and the icon."""

        def file(request: Request) -> Response:
            name = request.path_params["name"]
            if name not in self._files:
                return Response("not found\n", 404, media_type="text/plain")
            headers = _HEADERS | {"Cache-Control": "no-cache"}
            return Response(self._files[name], headers=headers, media_type=_FILES[name])

        return Route(f"{self.root}/static/{{name}}", file)


def frame(html: str, *, images: bool) -> HTMLResponse:
    """Return a mail's HTML for an isolated frame; `images` allows images from other hosts."""
    policy = FRAME["Content-Security-Policy"].format(images=" https: http:" if images else "")
    return HTMLResponse(html, headers=FRAME | {"Content-Security-Policy": policy})


def download(content: bytes, name: str, media_type: str) -> Response:
    """Return a file that the browser saves and does not show."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._- ") else "_" for letter in name)
    headers = {
        "Content-Disposition": f'attachment; filename="{plain}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return Response(content, headers=headers, media_type=media_type)


def is_ours(request: Request) -> bool:
    """Return whether the form request comes from these pages, not from another site in the same browser (CSRF)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin") == f"{request.url.scheme}://{request.url.netloc}"


def unchanged(request: Request, mark: str) -> Response | None:
    """Return 304 if the request's `If-None-Match` has this ETag, else None."""
    if request.headers.get("if-none-match") == f'"{mark}"':
        return Response(status_code=304, headers=_HEADERS | {"ETag": f'"{mark}"'})
    return None


def number_in(written: str | None) -> int:
    """Return the number in a query value; 0 if the value is missing or not a number."""
    plain = written is not None and written.isascii() and written.isdigit() and len(written) < _MAX_DIGITS
    return int(written or "") if plain else 0


def moment(milliseconds: int, now_milliseconds: int) -> str:
    """Return `16:28` for today, else `22 Nov, 16:28`, with the year if it is not this year; local time."""
    then, now = (datetime.fromtimestamp(each / 1000).astimezone() for each in (milliseconds, now_milliseconds))
    if then.date() == now.date():
        return f"{then:%H:%M}"
    return f"{then.day} {then:%b}, {then:%H:%M}" if then.year == now.year else f"{then.day} {then:%b %Y}, {then:%H:%M}"


def iso(milliseconds: int) -> str:
    """Return the instant in ISO 8601, local time."""
    return datetime.fromtimestamp(milliseconds / 1000).astimezone().isoformat(timespec="seconds")


def size(count: int) -> str:
    """Return `812 B`, `8.4 kB`, `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def list_name(list_id: str) -> str:
    """Return the display name of a List-Id (RFC 2919 §3): its phrase, else the first label of the id."""
    phrase, _, rest = list_id.rpartition("<")
    return phrase.strip().strip('"') or rest.rstrip(">").partition(".")[0] or "Without a List-Id"
