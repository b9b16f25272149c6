"""Logging in with an OAuth access token: a command prints it, and again when the server refuses it."""

from __future__ import annotations

import asyncio
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from campaign.errors import CampaignError, Scope, ServiceRefusesError, TransientError
from campaign.smtp.access_token import AccessToken
from support.servers.script import Fault, Reply
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript
from support.smtp_transactions import RECEIPT, Post, accepted, connector, fates, transact, violations

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.model import Receipt

USER = "ann,=@acme.example"
GOOD, STALE = "ya29.good-token_A/b+c==", "ya29.stale-token"
XOAUTH2 = SmtpScript(credentials=(USER, GOOD), mechanisms=("XOAUTH2",), auth_required=True)


def printing(folder: Path, *tokens: str) -> str:
    """Return a command that prints the next token each time it is run, and the last one from then on."""
    for number, token in enumerate(tokens):
        (folder / f"token {number}").write_text(f"{token}\n", encoding="utf-8")
    script = folder / "print token.py"
    script.write_text(
        "import pathlib\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        "runs = folder / 'runs'\n"
        "with runs.open('a') as file: file.write('x')\n"
        f"number = min(len(runs.read_text()), {len(tokens)}) - 1\n"
        "print((folder / f'token {number}').read_text(), end='')\n",
        encoding="utf-8",
    )
    return shlex.join([sys.executable, str(script)])


def runs(folder: Path) -> int:
    """Return how often the command was run."""
    return len((folder / "runs").read_text(encoding="utf-8"))


def url(server: SmtpServer) -> str:
    """Return the server's URL with the user and no password."""
    return f"smtp://ann%2C%3D%40acme.example@127.0.0.1:{server.port}?tls=none"


async def sent(server: SmtpServer, command: str) -> Receipt:
    """Return the receipt of one message over a new connection that logs in with a command's token."""
    connection = await connector(server, url=url(server), token=AccessToken(command)).connect()
    receipt = await transact(connection)
    connection.end("the test is over")
    return receipt


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("mechanisms", [("XOAUTH2",), ("OAUTHBEARER",), ("PLAIN", "OAUTHBEARER", "XOAUTH2")], ids=str)
def test_a_login_by_token(mechanisms: tuple[str, ...], tmp_path: Path, *, uvloop: bool) -> None:
    """User and token are sent in the form of XOAUTH2, or of OAUTHBEARER where only that is offered."""
    loop = pytest.importorskip("uvloop").new_event_loop if uvloop else None
    script = SmtpScript(credentials=(USER, GOOD), mechanisms=mechanisms, auth_required=True)
    with SmtpServer(script) as server, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(sent(server, printing(tmp_path, GOOD)))
        expected = "XOAUTH2" if "XOAUTH2" in mechanisms else "OAUTHBEARER"
        assert [(event["mechanism"], event["ok"]) for event in server.events("auth")] == [(expected, True)]
        assert violations(server) == []


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_refused_token_is_renewed_once(mechanism: str, tmp_path: Path) -> None:
    """If the server refuses the token, the command runs again, and the new token logs in."""
    script = SmtpScript(credentials=(USER, GOOD), mechanisms=(mechanism,), auth_required=True)
    with SmtpServer(script) as server:
        asyncio.run(sent(server, printing(tmp_path, STALE, GOOD)))
        assert [event["ok"] for event in server.events("auth")] == [False, True]
        assert violations(server) == []
        assert len(accepted(server)) == 1


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_token_that_stays_refused_ends_the_run(mechanism: str, tmp_path: Path) -> None:
    """If the command prints the refused token again, there is no second login, and the server's reason is told."""
    script = SmtpScript(credentials=(USER, GOOD), mechanisms=(mechanism,))
    with SmtpServer(script) as server:
        with pytest.raises(ServiceRefusesError, match="refuses the login: 535") as caught:
            asyncio.run(sent(server, printing(tmp_path, STALE)))
        assert "status 401, scope https://mail.example/" in str(caught.value)
        assert STALE not in str(caught.value)
        assert len(server.events("auth")) == 1
    assert runs(tmp_path) == 2


def test_a_token_that_expires_mid_run_costs_nothing(tmp_path: Path) -> None:
    """If a used connection must log in again, another one does, and no message fails."""
    expired = Fault("mail", Reply("530 5.7.57 Client not authenticated"), per="connection", skip=3)

    async def run(server: SmtpServer) -> list[Receipt | CampaignError]:
        post = Post(server, limit=2, url=url(server), token=AccessToken(printing(tmp_path, GOOD)))
        async with post.pool:
            return await post.send_all(20)

    with SmtpServer(SmtpScript(credentials=(USER, GOOD), mechanisms=("XOAUTH2",), faults=(expired,))) as server:
        assert fates(asyncio.run(run(server))) == {RECEIPT: 20}
    assert runs(tmp_path) == 1, "a token is kept until it is refused"


def test_a_password_server_is_not_given_a_token(tmp_path: Path) -> None:
    """If the server takes no tokens, none is sent, and the error says which mechanisms it offers."""
    with SmtpServer(SmtpScript(credentials=(USER, GOOD))) as server:
        with pytest.raises(ServiceRefusesError, match=r"neither AUTH XOAUTH2 nor AUTH OAUTHBEARER .*plain, login"):
            asyncio.run(sent(server, printing(tmp_path, GOOD)))
        assert server.events("auth") == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/nowhere/print-token", "cannot be run: No such file or directory"),
        ("sh -c 'echo hidden; echo hidden >&2; exit 3'", "ended with exit code 3"),
        ("sh -c 'echo two hidden words'", "did not print one access token"),
        ("sh -c 'yes hidden'", "did not print one access token"),
        ("false", "ended with exit code 1"),
        ("true", "did not print one access token"),
        ("sh -c 'sleep 60; echo hidden'", "did not end within 0.2 s"),
        ("echo $HOME", "did not print one access token"),
    ],
)
def test_a_command_that_fails(command: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A command that prints no token ends the run with the reason; no shell runs it, and its output is not shown."""
    timeout_s = 0.2 if "sleep" in command else 10.0
    with pytest.raises(ServiceRefusesError, match="CAMPAIGN_SMTP_TOKEN_COMMAND") as caught:
        asyncio.run(AccessToken(command, timeout_s).get())
    assert words in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_command_that_fails_later_is_waited_for(tmp_path: Path) -> None:
    """A command that has printed a token before may work again: its failure is the server's pause, not the end."""

    async def run() -> None:
        token = AccessToken(printing(tmp_path, GOOD))
        assert await token.get() == GOOD
        (tmp_path / "print token.py").unlink()
        with pytest.raises(TransientError) as caught:
            await token.get(instead_of=GOOD)
        assert caught.value.scope is Scope.SERVER

    asyncio.run(run())


def test_connections_share_one_token(tmp_path: Path) -> None:
    """Several connections that need a token at the same time run the command once, also when it is renewed."""

    async def run() -> None:
        token = AccessToken(printing(tmp_path, STALE, GOOD))
        assert set(await asyncio.gather(*[token.get() for _ in range(5)])) == {STALE}
        assert set(await asyncio.gather(*[token.get(instead_of=STALE) for _ in range(5)])) == {GOOD}

    asyncio.run(run())
    assert runs(tmp_path) == 2
