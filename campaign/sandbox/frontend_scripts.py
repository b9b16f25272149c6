"""Serve the scripts that pages load from the Frontend API: clerk-js, and a stub for @clerk/ui, `script_routes`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response

from campaign.sandbox.answers import not_found
from campaign.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from campaign.sandbox.frontend import Frontend

#: A stub: @clerk/nextjs 7 loads Clerk's UI components even on a page that shows none.
_NO_UI = (
    "window.__internal_ClerkUICtor=class{async ensureMounted(){"
    'return new Proxy({},{get:(t,k)=>k==="then"?undefined:()=>{}})}};\n'
)


def script_routes(frontend: Frontend) -> list[Route]:
    """Return the routes of `/npm`."""
    clerk_js = frontend.state.clerk_js

    async def clerk_script(request: Request) -> Response:
        version, name = request.path_params["version"], request.path_params["name"]
        try:
            file = await asyncio.to_thread(clerk_js.file, version, name)
        except SandboxError as error:
            return Response(f"{error}\n", 503, {"Cache-Control": "no-store"}, media_type="text/plain")
        if file is None:
            raise not_found(f"There is no file {name} in @clerk/clerk-js {version}.")
        return FileResponse(file, media_type="text/javascript", headers={"Cache-Control": "max-age=3600"})

    async def no_ui(_: Request) -> Response:
        return Response(_NO_UI, media_type="text/javascript", headers={"Cache-Control": "max-age=3600"})

    return [
        frontend.route("GET", "/npm/@clerk/clerk-js@{version}/dist/{name}", clerk_script),
        frontend.route("GET", "/npm/@clerk/ui@{version}/dist/ui.browser.js", no_ui),
    ]
