"""Check the addresses and names in a landing page: `frontend_api_host`, `redirect_in`, `renewal_in`, `parameter_in`."""

from __future__ import annotations

import base64
import re
from urllib.parse import urlsplit

from campaign.config.definition.link_rules import link_parameter
from campaign.config.server_url import is_loopback
from campaign.errors import SettingsError

_KEY = re.compile(r"pk_(?:test|live)_([A-Za-z0-9+/_-]+={0,2})")
_HOST = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
#: Printable ASCII, without the characters that end an HTML attribute, a JavaScript string or a CSP directive.
_PLAIN_URL = re.compile(r"""[!#$&()*+,\-./0-9:;=?@A-Z_a-z~\[\]%]+""")
_MAX_SHOWN_CHARS = 60


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


def redirect_in(redirect: str | None) -> str:
    """Return where the browser goes after sign-in; empty for nowhere.

    Raises:
        SettingsError: it is neither a path of the same site nor an https URL.
    """
    if not redirect:
        return ""
    if _is_path(redirect) or _is_url(redirect, plain=False):
        return redirect
    raise SettingsError(
        f"--redirect {_shown(redirect)} is not a place that the page may redirect to; give a path of "
        "the same site, like /cart, or a URL that begins with https://."
    )


def proxy_in(frontend_api: str | None) -> str:
    """Return the address of a proxy to the Frontend API; empty for none.

    Raises:
        SettingsError: it is neither a path of the same site, an https URL nor a URL of this machine.
    """
    if not frontend_api:
        return ""
    place = frontend_api.rstrip("/")
    if _is_endpoint(place):
        return place
    raise SettingsError(
        f"{_shown(frontend_api)} is not an address of Clerk's Frontend API; give a path of the same site, like "
        "/__clerk, or a URL that begins with https://."
    )


def renewal_in(renew: str | None) -> str:
    """Return where `campaign serve` is asked for a new link; empty for nowhere.

    Raises:
        SettingsError: it is neither a path of the same site, an https URL nor a URL of this machine.
    """
    if not renew:
        return ""
    place = renew.rstrip("/")
    if _is_endpoint(place):
        return place
    raise SettingsError(
        f"--renew {_shown(renew)} is not an address of `campaign serve`; give the one that it prints, such as "
        "https://mail.acme.example/u/renew, or a path of the same site."
    )


def origin_of(place: str) -> str:
    """Return the origin of a path or a URL as a policy names it."""
    if place.startswith("/"):
        return "'self'"
    parts = urlsplit(place)
    return f"{parts.scheme}://{parts.netloc}"


def parameter_in(parameter: str, *, renew: bool = False) -> str:
    """Return the name of the parameter with the token; the page looks for it in the query and in the fragment.

    Args:
        parameter: `link.parameter` of the campaign file.
        renew: whether links also carry a tag for a new link, in a parameter of its own.

    Raises:
        SettingsError: it is no `link.parameter` of a campaign file.
    """
    try:
        return link_parameter(parameter, renew=renew).removeprefix("#")
    except ValueError as error:
        raise SettingsError(f"--parameter {_shown(parameter)}: link.parameter {error}.") from None


def _is_endpoint(place: str) -> bool:
    """Return whether a place is a path of the same site, an https URL or a URL of this machine, without a query."""
    return "?" not in place and "#" not in place and (_is_path(place) or _is_url(place, plain=True))


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


def _shown(value: str) -> str:
    return repr(value if len(value) <= _MAX_SHOWN_CHARS else f"{value[:_MAX_SHOWN_CHARS]}…")
