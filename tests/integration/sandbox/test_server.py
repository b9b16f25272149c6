"""The sandbox as a whole: starting, stopping, restarting with its data, and keeping its data private."""

from __future__ import annotations

import ast
import asyncio
import base64
import errno
import os
import socket
import sqlite3
import stat
import threading
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

import campaign.sandbox
from campaign.sandbox import Sandbox, SandboxError
from support.plain_http import NO_TLS


def test_the_package_has_one_door() -> None:
    """The package exports exactly the sandbox, its error, and what looks at or resets its time."""
    assert campaign.sandbox.__all__ == ["Sandbox", "SandboxError", "forget_after", "latest_in"]


def test_the_sandbox_imports_nothing_of_the_rest() -> None:
    """No file of the sandbox imports from the rest of the program, so the two cannot share a bug."""
    for file in Path(campaign.sandbox.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            ours = [name for name in names if name.split(".")[0] == "campaign"]
            assert all(name.startswith("campaign.sandbox") for name in ours), f"{file}: {ours}"
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file}: relative import"


def test_it_stops_without_a_trace(tmp_path: Path) -> None:
    """Stopping with clients connected ends its thread and closes its sockets, without a warning."""
    before = threading.active_count()

    async def scenario() -> tuple[int, int]:
        async with Sandbox(tmp_path / "state") as sandbox:
            ports = urlsplit(sandbox.clerk_url).port or 0, urlsplit(sandbox.smtp_url).port or 0
            async with httpx.AsyncClient(base_url=sandbox.clerk_url, trust_env=False, verify=NO_TLS) as client:
                await client.get("/v1/users")
                _, writer = await asyncio.open_connection("127.0.0.1", ports[1])
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        return ports

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ports = asyncio.run(scenario())
    assert threading.active_count() == before
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """Keys, people and tokens survive a restart."""

    async def serve(body: dict[str, str] | None) -> tuple[str, str, httpx.Response]:
        async with Sandbox(tmp_path / "state") as sandbox:
            if body:
                sandbox.learn([("user_1", "mia@example.com")])
            headers = {"Authorization": f"Bearer {sandbox.secret_key}"}
            async with httpx.AsyncClient(
                base_url=sandbox.clerk_url, headers=headers, trust_env=False, verify=NO_TLS
            ) as client:
                path = "sign_in_tokens" if body else f"sign_in_tokens/{token_id}/revoke"
                answer = await client.post(f"/v1/{path}", json=body)
            return sandbox.secret_key, sandbox.publishable_key, answer

    *keys, answer = asyncio.run(serve({"user_id": "user_1"}))
    token_id = answer.json()["id"]
    *keys_again, answer = asyncio.run(serve(None))
    assert keys_again == keys
    assert answer.json()["status"] == "revoked"


def test_two_may_share_a_folder(tmp_path: Path) -> None:
    """Two sandboxes in one folder have the same keys, and each sees the other's people and mail at once."""

    async def scenario() -> None:
        folder = tmp_path / "state"
        async with Sandbox(folder) as one, Sandbox(folder) as other:
            assert one.secret_key == other.secret_key
            one.learn([("user_1", "mia@example.com")])
            assert other.state.users.get("user_1")
            other.state.mailbox.store(b"\r\n", sender="", recipients=["a@example.com"])
            assert one.state.mailbox.last_number() == 1

    asyncio.run(scenario())


def test_its_keys_look_like_clerks(tmp_path: Path) -> None:
    """The keys are test keys, the publishable key names a development host, and every sandbox has its own keys."""

    async def keys(folder: str) -> tuple[str, str]:
        async with Sandbox(tmp_path / folder) as sandbox:
            return sandbox.secret_key, sandbox.publishable_key

    secret, publishable = asyncio.run(keys("one"))
    assert secret.startswith("sk_test_")
    host = base64.b64decode(publishable.removeprefix("pk_test_")).decode()
    assert host.endswith(".clerk.accounts.dev$")
    assert asyncio.run(keys("two")) != (secret, publishable)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """If its port is in use, it raises EADDRINUSE with the address, and leaves no socket open."""

    async def serve(**ports: int) -> None:
        async with Sandbox(tmp_path / "state", **ports):  # type: ignore[arg-type]
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for ports in ({"port": port}, {"smtp_port": port}):
            with pytest.raises(OSError, match=f"127.0.0.1:{port}") as error:
                asyncio.run(serve(**ports))
            assert error.value.errno == errno.EADDRINUSE
    asyncio.run(serve(port=port))


def test_everything_in_its_folder_is_private(tmp_path: Path) -> None:
    """The folder and all its files are readable only by their owner, also while it runs, and git ignores the folder."""
    folder = tmp_path / "deep" / "state"

    async def scenario() -> None:
        async with Sandbox(folder) as sandbox:
            sandbox.learn([("user_1", "mia@example.com")])
            sandbox.state.mailbox.store(b"\r\n", sender="", recipients=[])
            for path in [folder, *folder.rglob("*")]:
                expected = 0o700 if path.is_dir() else 0o600
                assert stat.S_IMODE(path.stat().st_mode) == expected, path

    mask = os.umask(0)
    try:
        asyncio.run(scenario())
    finally:
        os.umask(mask)
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """An existing folder that others may write is made private while it is empty, and refused when it is not."""
    folder = tmp_path / "it's"

    async def serve() -> None:
        async with Sandbox(folder):
            pass

    folder.mkdir()
    folder.chmod(0o777)
    asyncio.run(serve())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for mode in (0o777, 0o1777, 0o720):
        folder.chmod(mode)
        with pytest.raises(SandboxError, match=r"type: chmod 700 '.*it.*s', or set CAMPAIGN_SANDBOX"):
            asyncio.run(serve())
        assert stat.S_IMODE(folder.stat().st_mode) == mode
    folder.chmod(0o755)
    asyncio.run(serve())


@pytest.mark.parametrize("link", ["state", "state/sandbox.db", "state/sandbox.db-wal", "state/mail"])
def test_no_symbolic_link_is_followed(tmp_path: Path, link: str) -> None:
    """A symbolic link in place of the folder or of a file in it is refused with an error message."""
    target = tmp_path / "target"
    target.mkdir()
    path = tmp_path / link
    if path.parent != tmp_path:
        path.parent.mkdir(mode=0o700)
    path.symlink_to(target)

    async def serve() -> None:
        async with Sandbox(tmp_path / "state"):
            pass

    with pytest.raises(SandboxError, match="remove it"):
        asyncio.run(serve())
    assert not list(target.iterdir())


def test_a_file_that_is_no_state_is_left_alone(tmp_path: Path) -> None:
    """A state file of another program or version is refused with an error message and not changed."""
    file = tmp_path / "sandbox.db"

    async def serve() -> None:
        async with Sandbox(tmp_path):
            pass

    file.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(SandboxError, match="not the state of a sandbox"):
        asyncio.run(serve())
    assert file.read_bytes().startswith(b"not a database")
    file.unlink()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SandboxError, match="another version"):
        asyncio.run(serve())


def test_a_state_that_fails_is_answered_as_clerk_does(tmp_path: Path) -> None:
    """If the state can no longer be read, both APIs answer 500 in Clerk's form."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            headers = {"Authorization": f"Bearer {sandbox.secret_key}"}
            sandbox.state.close()
            async with httpx.AsyncClient(
                base_url=sandbox.clerk_url, headers=headers, trust_env=False, verify=NO_TLS
            ) as client:
                for path in ("/v1/users", "/__clerk/v1/client"):
                    answer = await client.get(path)
                    assert answer.status_code == 500
                    assert answer.json()["errors"][0]["code"] == "internal_clerk_error"

    asyncio.run(scenario())
