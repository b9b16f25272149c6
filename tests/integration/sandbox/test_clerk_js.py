"""Clerk's clerk-js: where the sandbox gets its files, and that it can sign in at the sandbox."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.responses import HTMLResponse
from starlette.routing import Route

from campaign.sandbox import Sandbox, clerkjs
from campaign.sandbox.ship_clerk_js import ship
from support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from campaign.sandbox.state import State

SCRIPT = "/__clerk/npm/@clerk/clerk-js@{}/dist/clerk.browser.js"


def packed(*names: str) -> bytes:
    """Return an npm package with these files, each containing its own name."""
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as package:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            package.addfile(member, BytesIO(name.encode()))
    return archive.getvalue()


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without Clerk's script, on a machine without npm."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr(clerkjs, "SHIPPED", folder)
    monkeypatch.setattr("campaign.sandbox.ship_clerk_js.SHIPPED", folder)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return folder


def install_npm(tmp_path: Path, package: bytes, *, status: int = 0) -> None:
    """Put an npm on the PATH that always packs `package` and records its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "package.tgz").write_bytes(package)
    npm = folder / "npm"
    npm.write_text(
        f'#!/bin/sh\necho "$@" >> "{tmp_path}/asked"\n/bin/cp "{tmp_path}/package.tgz" pack.tgz\nexit {status}\n'
    )
    npm.chmod(0o700)


def get(folder: Path, *paths: str) -> list[httpx.Response]:
    """Return the responses of a sandbox in `folder` to these requests."""

    async def serve() -> list[httpx.Response]:
        async with (
            Sandbox(folder) as sandbox,
            httpx.AsyncClient(base_url=sandbox.clerk_url, trust_env=False, verify=NO_TLS) as client,
        ):
            return await asyncio.gather(*(client.get(path) for path in paths))

    return asyncio.run(serve())


def test_without_npm_the_answer_says_what_to_install(tmp_path: Path, shipped: Path) -> None:
    """If the script cannot be had, the response says what to install."""
    (answer,) = get(tmp_path / "state", SCRIPT.format(6))
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/plain")
    assert "install Node.js" in answer.text
    assert not shipped.exists()


def test_the_script_is_fetched_once(tmp_path: Path, shipped: Path) -> None:
    """On first use npm fetches the tested release, and its scripts and licence are kept."""
    install_npm(
        tmp_path,
        packed(
            "package/dist/clerk.browser.js",
            "package/dist/vendors_clerk.browser_1.js",
            "package/dist/clerk.legacy.browser.js",
            "package/dist/../../../escaped.clerk.browser.js",
            "package/package.json",
            "package/LICENSE",
        ),
    )
    chunk = "/__clerk/npm/@clerk/clerk-js@6.40.0/dist/vendors_clerk.browser_1.js"
    answers = get(tmp_path / "state", SCRIPT.format(6), chunk, SCRIPT.format("6.40.0"))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].text == "package/dist/clerk.browser.js"
    assert answers[0].headers["content-type"].startswith("text/javascript")
    (again,) = get(tmp_path / "state", SCRIPT.format(6))
    assert again.status_code == 200
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert asked.endswith(f"@clerk/clerk-js@{clerkjs.RELEASES['6']}")
    kept = tmp_path / "state" / "clerk-js" / clerkjs.RELEASES["6"]
    assert {file.name for file in kept.iterdir()} == {
        "clerk.browser.js", "vendors_clerk.browser_1.js", "LICENSE", "package.json",
    }  # fmt: skip
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert not list(tmp_path.rglob("escaped*"))
    assert not shipped.exists()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", marks=pytest.mark.long),
        pytest.param(b"no archive", marks=pytest.mark.long),
        packed("package/dist/other.js"),
    ],
)
def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path, shipped: Path, broken: bytes) -> None:
    """If npm fails or the package lacks the script, the response says so, and the next request tries again."""
    install_npm(tmp_path, broken, status=int(not broken))
    (answer,) = get(tmp_path / "state", SCRIPT.format(6))
    assert (answer.status_code, "npm pack" in answer.text) == (503, True)
    assert not list((tmp_path / "state" / "clerk-js").iterdir())
    shutil.rmtree(tmp_path / "bin")
    install_npm(tmp_path, packed("package/dist/clerk.browser.js"))
    (answer,) = get(tmp_path / "state", SCRIPT.format(6))
    assert answer.status_code == 200
    assert not shipped.exists()


def test_other_files_are_not_found(tmp_path: Path, shipped: Path) -> None:
    """Only the package's own files of known versions are served."""
    install_npm(tmp_path, packed("package/dist/clerk.browser.js"))
    base = "/__clerk/npm/@clerk/clerk-js@"
    paths = ["7/dist/clerk.browser.js", "6/dist/none.js", "6/dist/..%2f..%2fsandbox.db", "6/dist/.."]
    answers = get(tmp_path / "state", *(base + path for path in paths))
    assert [answer.status_code for answer in answers] == [404] * 4
    assert not shipped.exists()


def test_the_script_can_be_shipped(tmp_path: Path, shipped: Path) -> None:
    """A script that was put beside the program is served without npm."""
    install_npm(tmp_path, packed("package/dist/clerk.browser.js"))
    ship([])
    shutil.rmtree(tmp_path / "bin")
    ship(["6"])
    assert [folder.name for folder in shipped.iterdir()] == [clerkjs.RELEASES["6"]]
    assert get(tmp_path / "state", SCRIPT.format(6))[0].status_code == 200
    with pytest.raises(SystemExit, match="install Node"):
        ship(["5"])
    with pytest.raises(SystemExit, match="knows 6 and 5"):
        ship(["4"])


def test_clerks_components_are_a_stub(tmp_path: Path) -> None:
    """Requests for the components of @clerk/nextjs 7 get components that do nothing."""
    (answer,) = get(tmp_path / "state", "/__clerk/npm/@clerk/ui@1/dist/ui.browser.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "__internal_ClerkUICtor" in answer.text


REDEEM = """async ticket => {
    try {
        const signIn = await Clerk.client.signIn.create({strategy: "ticket", ticket});
        await Clerk.setActive({session: signIn.createdSessionId});
        return [signIn.status, Clerk.user.id, (await Clerk.session.getToken()).split(".").length];
    } catch (error) { return [error.clerkError, error.status, error.errors?.[0].code]; }
}"""
TASK = "[Clerk.session.status, Clerk.session.currentTask.key, Clerk.buildTasksUrl()]"
LOAD = "Clerk.load({telemetry: false}).then(() => Clerk.user?.id ?? null)"


def page(major: str, key: str, api: str) -> HTMLResponse:
    """Return a page that loads clerk-js and nothing else."""
    attributes = f'data-clerk-publishable-key="{key}" data-clerk-proxy-url="{api}/__clerk"'
    source = api + SCRIPT.format(major)
    return HTMLResponse(f'<!doctype html><link rel="icon" href="data:,"><script {attributes} src="{source}"></script>')


@pytest.mark.browser
@pytest.mark.parametrize(
    ("host", "major"),
    [
        ("127.0.0.1", "6"),
        ("localhost", "5"),
        pytest.param("127.0.0.1", "5", marks=pytest.mark.long),
        pytest.param("localhost", "6", marks=pytest.mark.long),
    ],
)
def test_clerk_js_signs_in(tmp_path: Path, major: str, host: str) -> None:  # noqa: PLR0915 - one journey
    """The real clerk-js signs in, keeps the session, signs out, and reads every refusal, also from another origin."""
    api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("chromium is not installed")
    release = clerkjs.RELEASES[major]
    if not (clerkjs.SHIPPED / release).is_dir() and shutil.which("npm") is None:
        pytest.skip("npm is not installed: it fetches clerk-js")
    users = {"user_mia": "mia@example.com", "user_ann": "ann+locked@example.com", "user_bo": "bo+banned@example.com"}
    users["user_tara"] = "tara+task@example.com"

    def pages(state: State) -> Sequence[BaseRoute]:
        async def try_it(request: Request) -> HTMLResponse:
            return page(major, state.keys.publishable, f"http://127.0.0.1:{request.url.port}")

        return [Route("/try", try_it)]

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state", pages=pages) as sandbox, api.async_playwright() as playwright:
            sandbox.learn(users.items())
            tokens = sandbox.state.tokens

            def mint(user_id: str = "user_mia") -> tuple[str, str]:
                created = tokens.create(user_id, seconds=60)
                assert created is not None
                return created[0].id, created[1]

            browser = await playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
            )
            url = f"{sandbox.clerk_url}/try".replace("127.0.0.1", host)

            async def visit() -> Any:  # noqa: ANN401 - the library may not be installed
                context = await browser.new_context()
                tab = await context.new_page()
                requests: list[str] = []
                tab.on("request", lambda request: requests.append(request.url))
                await tab.goto(url)
                assert await tab.evaluate(LOAD) is None
                assert await tab.evaluate("Clerk.version") == release
                assert all(asked.startswith(("http://127.0.0.1", "http://localhost", "blob:")) for asked in requests)
                return tab

            tab = await visit()
            revoked, expired, good = mint(), mint(), mint()
            tokens.revoke(revoked[0])
            tokens.expire(expired[0])
            for ticket, status, code in [
                ("forged", 400, "ticket_invalid_code"),
                (revoked[1], 400, "sign_in_token_revoked_code"),
                (expired[1], 400, "ticket_expired_code"),
                (mint("user_ann")[1], 403, "user_locked"),
                (mint("user_bo")[1], 403, "user_banned"),
            ]:
                assert await tab.evaluate(REDEEM, ticket) == [True, status, code]
            assert await tab.evaluate(REDEEM, good[1]) == ["complete", "user_mia", 3]
            assert await tab.evaluate(REDEEM, mint()[1]) == [True, 400, "session_exists"]
            await tab.reload()
            assert await tab.evaluate(LOAD) == "user_mia"
            other = await visit()
            assert await other.evaluate(REDEEM, good[1]) == [True, 400, "sign_in_token_already_used_code"]
            await tab.evaluate("Clerk.signOut(() => {})")
            await tab.goto(url)
            assert await tab.evaluate(LOAD) is None
            assert await tab.evaluate(REDEEM, mint("user_tara")[1]) == ["complete", "user_tara", 3]
            status, task, place = await tab.evaluate(TASK)
            assert (status, task) == ("pending", "choose-organization")
            assert place.startswith(f"{sandbox.clerk_url}/__clerk/sign-in")
            assert "#/tasks/choose-organization" in place
            await tab.evaluate("Clerk.signOut(() => {})")
            await tab.goto(url)
            assert await tab.evaluate(LOAD) is None
            opening = tokens.create("user_tara", seconds=60, org_id="org_2Acme")
            assert opening is not None
            assert await tab.evaluate(REDEEM, opening[1]) == ["complete", "user_tara", 3]
            assert await tab.evaluate("Clerk.organization.id") == "org_2Acme"
            await tab.reload()
            assert await tab.evaluate(LOAD) == "user_tara"
            assert await tab.evaluate("[Clerk.session.status, Clerk.organization.id]") == ["active", "org_2Acme"]
            await browser.close()

    asyncio.run(scenario())
