"""The landing page that sign-in links lead to, made from the sources in `templates/landing/`.

What the page does stands there, in JavaScript; who serves it is not decided here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from campaign.config.smtp_url import is_loopback
from campaign.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.resources.abc import Traversable

#: Where a Frontend API serves clerk-js.
_CLERK_JS = "/npm/@clerk/clerk-js@6/dist/clerk.browser.js"
_KEY = re.compile(r"pk_(?:test|live)_([A-Za-z0-9+/_-]+={0,2})")
_HOST = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
#: Printable ASCII without what ends an attribute, a string or a policy.
_PLAIN_URL = re.compile(r"""[!#$&()*+,\-./0-9:;=?@A-Z_a-z~\[\]%]+""")
#: `name /*: Type */` and `call/*<Type>*/`: JavaScript as it stands, TypeScript once the comment is opened.
_TYPE = re.compile(r"\s*/\*(:[^*]+?|<[^*]+>)\s*\*/")
_MAX_SHOWN_CHARS = 60


def chosen_page(
    default_key: Callable[[], str | None],
    *,
    publishable_key: str | None,
    redirect: str | None,
    parameter: str,
    framework: str | None,
    router: Literal["app", "pages"] | None,
) -> str:
    """Return the page that the options of `campaign landing` ask for.

    Args:
        default_key: asked where none is given. A page for Next.js needs none: its build has one in the environment.
        publishable_key: see `landing_page`; the same for `redirect` and `parameter`.
        redirect: see there.
        parameter: see there.
        framework: `next`, or None for a page that needs no framework.
        router: see `next_page`; by default `app`.

    Raises:
        SettingsError: the options do not fit together; also what the pages themselves raise.
    """
    if framework == "next":
        if publishable_key is not None:
            frontend_api_host(publishable_key)
        return next_page(router=router or "app", redirect=redirect, parameter=parameter)
    if router is not None:
        raise SettingsError("--router is a choice of Next.js: add --framework next, or leave --router out.")
    key = default_key() if publishable_key is None else publishable_key
    return landing_page(publishable_key=key, redirect=redirect, parameter=parameter)


def landing_page(
    *,
    publishable_key: str | None,
    redirect: str | None,
    frontend_api: str | None = None,
    parameter: str = "token",
) -> str:
    """Return the page as HTML with its script and style in it.

    Args:
        publishable_key: `pk_test_…` or `pk_live_…`; names the host that clerk-js comes from.
        redirect: where the person goes once signed in, a path of the same site or an https URL.
        frontend_api: where Clerk's Frontend API is reached instead, a path of the same site such as
            `/__clerk` or a URL (Clerk's `proxyUrl`).
        parameter: the query parameter that holds the token, `link.parameter` of the campaign.

    Raises:
        SettingsError: the key is missing or malformed, or a place or name cannot be used.
    """
    if not publishable_key:
        raise SettingsError(
            "The landing page needs Clerk's publishable key: give --publishable-key pk_test_…, or set "
            "CLERK_PUBLISHABLE_KEY; it stands in Clerk's dashboard under API keys."
        )
    host = frontend_api_host(publishable_key)
    proxy = _proxy(frontend_api)
    origin = _origin(proxy) if proxy else f"https://{host}"
    settings = {
        "publishableKey": publishable_key,
        "proxyUrl": proxy,
        "script": f"{proxy or origin}{_CLERK_JS}",
        "redirect": _redirect(redirect),
        "parameter": _parameter(parameter),
    }
    style = _source("style.css")
    script = _untyped(
        "\n".join(
            [
                "",
                'const SETTINGS = JSON.parse(document.getElementById("settings").textContent);',
                "const PARAMETER = SETTINGS.parameter;",
                "const REDIRECT = SETTINGS.redirect;",
                _constant("STATES", _json_source("states.json")),
                _constant("ICONS", _json_source("icons.json")),
                "",
                *(_source(name) for name in ("words.js", "core.js", "view.js")),
            ]
        )
    )
    return _filled(
        _source("page.html"),
        policy=_policy(origin, script=script, style=style),
        style=style,
        settings=_script_json(settings),
        script=script,
    )


def next_page(*, router: Literal["app", "pages"], redirect: str | None, parameter: str = "token") -> str:
    """Return the same page for Next.js with `@clerk/nextjs`, of its current and its previous major.

    Args:
        router: `app` for `page.tsx`, `pages` for `accept-token.jsx`.
        redirect: where the person goes once signed in, a path of the same site or an https URL.
        parameter: the query parameter that holds the token.

    Raises:
        SettingsError: a place or name cannot be used.
    """
    script = "\n".join(
        [
            _constant("REDIRECT", _redirect(redirect), typed="string"),
            _constant("PARAMETER", _parameter(parameter)),
            _constant("STATES", _json_source("states.json")),
            _constant("ICONS", _json_source("icons.json"), typed="Record<string, string>"),
            f"const STYLE = `\n{_source('style.css')}`;",
            "",
            *(_source(name) for name in ("words.js", "core.js", "view.jsx")),
        ]
    ).rstrip()
    if router == "app":
        return _filled(_source("page.tsx"), comment="// ", script=_TYPE.sub(r"\1", script))
    return _filled(_source("accept-token.jsx"), comment="// ", script=_untyped(script))


def frontend_api_host(publishable_key: str) -> str:
    """Return the host of the Frontend API that a publishable key names (`pk_test_` + base64 of `host$`).

    Raises:
        SettingsError: it is no publishable key.
    """
    if publishable_key.startswith("sk_"):
        raise SettingsError(
            "That is Clerk's secret key, which must never stand in a page. The landing page takes the "
            "publishable key, pk_test_… or pk_live_…, from Clerk's dashboard under API keys."
        )
    found = _KEY.fullmatch(publishable_key)
    if found is None:
        raise SettingsError(
            f"{_shown(publishable_key)} is not a publishable key of Clerk; it begins with pk_test_ or pk_live_. "
            "Copy it from Clerk's dashboard under API keys."
        )
    encoded = found[1].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        host = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode("ascii")
    except ValueError:
        host = ""
    if not host.endswith("$") or _HOST.fullmatch(host[:-1]) is None:
        raise SettingsError(
            f"The publishable key {_shown(publishable_key)} does not name a host; it may be cut off. "
            "Copy it once more from Clerk's dashboard under API keys."
        )
    return host[:-1]


def _redirect(redirect: str | None) -> str:
    if not redirect:
        return ""
    if _is_path(redirect) or _is_url(redirect, plain=False):
        return redirect
    raise SettingsError(
        f"--redirect {_shown(redirect)} is not a place that the page may send people to; give a path of "
        "the same site, like /cart, or a URL that begins with https://."
    )


def _proxy(frontend_api: str | None) -> str:
    if not frontend_api:
        return ""
    place = frontend_api.rstrip("/")
    if "?" not in place and "#" not in place and (_is_path(place) or _is_url(place, plain=True)):
        return place
    raise SettingsError(
        f"{_shown(frontend_api)} is not a place of Clerk's Frontend API; give a path of the same site, like "
        "/__clerk, or a URL that begins with https://."
    )


def _is_path(place: str) -> bool:
    # Browsers read "//" and "/\" as the beginning of another host.
    return place.startswith("/") and not place.startswith("//") and _PLAIN_URL.fullmatch(place) is not None


def _is_url(place: str, *, plain: bool) -> bool:
    if _PLAIN_URL.fullmatch(place) is None:
        return False
    try:
        parts = urlsplit(place)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    secure = parts.scheme == "https" or (plain and parts.scheme == "http" and is_loopback(host))
    return secure and "@" not in parts.netloc and (is_loopback(host) or _HOST.fullmatch(host) is not None)


def _origin(proxy: str) -> str:
    if proxy.startswith("/"):
        return "'self'"
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc}"


def _parameter(parameter: str) -> str:
    if _PARAMETER.fullmatch(parameter) is None:
        raise SettingsError(
            f"{_shown(parameter)} is not a name for the query parameter that holds the token; use letters, "
            "digits and _ like link.parameter in the campaign file."
        )
    return parameter


def _policy(origin: str, *, script: str, style: str) -> str:
    """Return a Content-Security-Policy that knows the page's own script and style, and Clerk's host.

    Clerk keeps its timers in a worker made from a blob; nothing of third parties is let in.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest(script)} {origin}",
            f"style-src {_digest(style)}",
            f"connect-src {origin}",
            "img-src data:",
            "worker-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _constant(name: str, value: object, *, typed: str = "") -> str:
    annotation = f" /*: {typed} */" if typed else ""
    return f"const {name}{annotation} = {_script_json(value, indent=2)};"


def _script_json(value: object, *, indent: int | None = None) -> str:
    # "<" would let a value end the script element that it stands in.
    return json.dumps(value, ensure_ascii=False, indent=indent).replace("<", "\\u003c")


def _untyped(script: str) -> str:
    return _TYPE.sub("", script)


def _filled(page: str, *, comment: str = "", **parts: str) -> str:
    pieces = re.split(rf"{re.escape(comment)}@([a-z]+)@", page)
    return "".join(parts[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def _shown(value: str) -> str:
    return repr(value if len(value) <= _MAX_SHOWN_CHARS else f"{value[:_MAX_SHOWN_CHARS]}…")


def _json_source(name: str) -> object:
    return json.loads(_source(name))


def _source(name: str) -> str:
    return (_folder() / name).read_text(encoding="utf-8")


def _folder() -> Traversable:
    """Return where the sources are: inside the installed package, or in the checkout beside it."""
    package = resources.files("campaign")
    installed = package / "landing_pages"
    return installed if installed.is_dir() else Path(str(package)).parent / "templates" / "landing"
