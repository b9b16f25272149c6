"""Make the landing page that sign-in links lead to: `landing_page` for plain HTML, `next_page` for Next.js.

The page's JavaScript, style and markup are in `templates/landing/`.
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

from campaign.config.server_url import is_loopback
from campaign.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.resources.abc import Traversable

#: The path of the clerk-js script on a Frontend API host.
_CLERK_JS = "/npm/@clerk/clerk-js@6/dist/clerk.browser.js"
_KEY = re.compile(r"pk_(?:test|live)_([A-Za-z0-9+/_-]+={0,2})")
_HOST = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
#: Printable ASCII, without the characters that end an HTML attribute, a JavaScript string or a CSP directive.
_PLAIN_URL = re.compile(r"""[!#$&()*+,\-./0-9:;=?@A-Z_a-z~\[\]%]+""")
#: `name /*: Type */` and `call/*<Type>*/`: valid JavaScript, and TypeScript once the comment marks are removed.
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
    """Return the landing page for the options of `campaign landing`.

    Args:
        default_key: returns the key to use if none is given. A page for Next.js needs none: the Next.js build
            reads it from the environment.
        publishable_key: see `landing_page`.
        redirect: see `landing_page`.
        parameter: see `landing_page`.
        framework: `next`, or None for a page without a framework.
        router: see `next_page`; the default is `app`.

    Raises:
        SettingsError: the options contradict each other, or `landing_page` or `next_page` raises it.
    """
    if framework == "next":
        if publishable_key is not None:
            frontend_api_host(publishable_key)
        return next_page(router=router or "app", redirect=redirect, parameter=parameter)
    if router is not None:
        raise SettingsError("--router is only for Next.js: add --framework next, or leave --router out.")
    key = default_key() if publishable_key is None else publishable_key
    return landing_page(publishable_key=key, redirect=redirect, parameter=parameter)


def landing_page(
    *,
    publishable_key: str | None,
    redirect: str | None,
    frontend_api: str | None = None,
    parameter: str = "token",
) -> str:
    """Return the landing page as HTML, with script and style inline.

    Args:
        publishable_key: `pk_test_…` or `pk_live_…`; it names the host that serves clerk-js.
        redirect: where the browser goes after sign-in: a path of the same site or an https URL.
        frontend_api: a proxy to Clerk's Frontend API, to use instead of its host: a path of the same site such
            as `/__clerk`, or a URL (Clerk's `proxyUrl`).
        parameter: the query parameter with the token, `link.parameter` of the campaign file.

    Raises:
        SettingsError: the key is missing or malformed, or a URL, path or parameter name is invalid.
    """
    if not publishable_key:
        raise SettingsError(
            "The landing page needs Clerk's publishable key: give --publishable-key pk_test_…, or set "
            "CLERK_PUBLISHABLE_KEY; it is in Clerk's dashboard under API keys."
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
    """Return the landing page for Next.js, for the current and the previous major version of `@clerk/nextjs`.

    Args:
        router: `app` for `page.tsx`, `pages` for `accept-token.jsx`.
        redirect: where the browser goes after sign-in: a path of the same site or an https URL.
        parameter: the query parameter with the token.

    Raises:
        SettingsError: a URL, path or parameter name is invalid.
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
        SettingsError: the text is not a publishable key.
    """
    if publishable_key.startswith("sk_"):
        raise SettingsError(
            "This is Clerk's secret key, which must never be in a page. The landing page needs the "
            "publishable key, pk_test_… or pk_live_…, from Clerk's dashboard under API keys."
        )
    found = _KEY.fullmatch(publishable_key)
    if found is None:
        raise SettingsError(
            f"{_shown(publishable_key)} is not a publishable key of Clerk; a publishable key begins with "
            "pk_test_ or pk_live_. Copy it from Clerk's dashboard under API keys."
        )
    encoded = found[1].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        host = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode("ascii")
    except ValueError:
        host = ""
    if not host.endswith("$") or _HOST.fullmatch(host[:-1]) is None:
        raise SettingsError(
            f"The publishable key {_shown(publishable_key)} does not contain a host; it may be cut off. "
            "Copy it again from Clerk's dashboard under API keys."
        )
    return host[:-1]


def _redirect(redirect: str | None) -> str:
    if not redirect:
        return ""
    if _is_path(redirect) or _is_url(redirect, plain=False):
        return redirect
    raise SettingsError(
        f"--redirect {_shown(redirect)} is not a place that the page may redirect to; give a path of "
        "the same site, like /cart, or a URL that begins with https://."
    )


def _proxy(frontend_api: str | None) -> str:
    if not frontend_api:
        return ""
    place = frontend_api.rstrip("/")
    if "?" not in place and "#" not in place and (_is_path(place) or _is_url(place, plain=True)):
        return place
    raise SettingsError(
        f"{_shown(frontend_api)} is not an address of Clerk's Frontend API; give a path of the same site, like "
        "/__clerk, or a URL that begins with https://."
    )


def _is_path(place: str) -> bool:
    # Browsers treat "//" and "/\" at the start of a URL as the start of a host name.
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
    """Return a Content-Security-Policy that allows the page's own script and style, and Clerk's host.

    `blob:` workers are allowed because Clerk runs its timers in one. No third party is allowed.
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
    # An unescaped "<" could end the <script> element that contains the value.
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
    """Return the folder of the page's sources: in the installed package, or else in the checkout."""
    package = resources.files("campaign")
    installed = package / "landing_pages"
    return installed if installed.is_dir() else Path(str(package)).parent / "templates" / "landing"
