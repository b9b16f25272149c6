"""Make the landing page that sign-in links lead to: `landing_page` for plain HTML, `next_page` for Next.js.

The page's JavaScript, style and markup are in `templates/landing/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campaign.errors import SettingsError
from campaign.landing.addresses import (
    frontend_api_host,
    origin_of,
    parameter_in,
    proxy_in,
    redirect_in,
    renewal_in,
)
from campaign.landing.sources import (
    constant,
    filled,
    json_source,
    policy,
    script_json,
    source,
    template_literal,
    with_types,
    without_types,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["chosen_page", "frontend_api_host", "landing_page", "next_page"]

#: The path of the clerk-js script on a Frontend API host.
_CLERK_JS = "/npm/@clerk/clerk-js@6/dist/clerk.browser.js"


def chosen_page(
    default_key: Callable[[], str | None],
    *,
    publishable_key: str | None,
    redirect: str | None,
    parameter: str,
    renew: str | None,
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
        renew: see `landing_page`.
        framework: `next`, or None for a page without a framework.
        router: see `next_page`; the default is `app`.

    Raises:
        SettingsError: the options contradict each other, or `landing_page` or `next_page` raises it.
    """
    if framework == "next":
        if publishable_key is not None:
            frontend_api_host(publishable_key)
        return next_page(router=router or "app", redirect=redirect, parameter=parameter, renew=renew)
    if router is not None:
        raise SettingsError("--router is only for Next.js: add --framework next, or leave --router out.")
    key = default_key() if publishable_key is None else publishable_key
    return landing_page(publishable_key=key, redirect=redirect, parameter=parameter, renew=renew)


def landing_page(
    *,
    publishable_key: str | None,
    redirect: str | None,
    frontend_api: str | None = None,
    parameter: str = "token",
    renew: str | None = None,
) -> str:
    """Return the landing page as HTML, with script and style inline.

    Args:
        publishable_key: `pk_test_…` or `pk_live_…`; it names the host that serves clerk-js.
        redirect: where the browser goes after sign-in: a path of the same site or an https URL.
        frontend_api: a proxy to Clerk's Frontend API, to use instead of its host: a path of the same site such
            as `/__clerk`, or a URL (Clerk's `proxyUrl`).
        parameter: `link.parameter` of the campaign file; the page also looks for it in the fragment.
        renew: where `campaign serve` is asked for a new link: a URL, or a path of the same site; None: the page has no
            button for it.

    Raises:
        SettingsError: the key is missing or malformed, or a URL, path or parameter name is invalid.
    """
    if not publishable_key:
        raise SettingsError(
            "The landing page needs Clerk's publishable key: give --publishable-key pk_test_…, or set "
            "CLERK_PUBLISHABLE_KEY; it is in Clerk's dashboard under API keys."
        )
    host = frontend_api_host(publishable_key)
    proxy = proxy_in(frontend_api)
    origin = origin_of(proxy) if proxy else f"https://{host}"
    settings = {
        "publishableKey": publishable_key,
        "proxyUrl": proxy,
        "script": f"{proxy or origin}{_CLERK_JS}",
        "redirect": redirect_in(redirect),
        "renew": renewal_in(renew),
    }
    style = source("style.css")
    early = _early(parameter, renew)
    script = without_types(
        "\n".join(
            [
                "",
                'const SETTINGS = JSON.parse(document.getElementById("settings").textContent);',
                "const REDIRECT = SETTINGS.redirect;",
                "const RENEW = SETTINGS.renew;",
                constant("STATES", json_source("states.json")),
                constant("ICONS", json_source("icons.json")),
                "",
                *(source(name) for name in ("words.js", "core.js", "view.js")),
            ]
        )
    )
    return filled(
        source("page.html"),
        policy=policy(
            origin,
            scripts=[early, script],
            style=style,
            forms=origin_of(settings["renew"]) if settings["renew"] else "'none'",
        ),
        early=early,
        style=style,
        settings=script_json(settings),
        script=script,
    )


def next_page(
    *, router: Literal["app", "pages"], redirect: str | None, parameter: str = "token", renew: str | None = None
) -> str:
    """Return the landing page for Next.js, for the current and the previous major version of `@clerk/nextjs`.

    Args:
        router: `app` for `page.tsx`, `pages` for `accept-token.jsx`.
        redirect: where the browser goes after sign-in: a path of the same site or an https URL.
        parameter: see `landing_page`.
        renew: see `landing_page`.

    Raises:
        SettingsError: a URL, path or parameter name is invalid.
    """
    script = "\n".join(
        [
            constant("REDIRECT", redirect_in(redirect), typed="string"),
            constant("RENEW", renewal_in(renew), typed="string"),
            constant("PARAMETER", parameter_in(parameter, renew=bool(renew))),
            constant("STATES", json_source("states.json")),
            constant("ICONS", json_source("icons.json"), typed="Record<string, string>"),
            template_literal("STYLE", source("style.css")),
            template_literal("EARLY", f"(() => {{{_early(parameter, renew)}}})();\n"),
            "",
            *(source(name) for name in ("arrival.js", "words.js", "core.js", "view.jsx")),
        ]
    ).rstrip()
    if router == "app":
        return filled(source("page.tsx"), comment="// ", script=with_types(script))
    return filled(source("accept-token.jsx"), comment="// ", script=without_types(script))


def _early(parameter: str, renew: str | None) -> str:
    """Return the script that takes the link out of the address before any other script runs."""
    declared = constant("PARAMETER", parameter_in(parameter, renew=bool(renew)))
    return without_types("\n".join(["", declared, source("arrival.js"), source("early.js")]))
