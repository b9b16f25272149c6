"""The sandbox's mail server and mailbox: messages are stored byte for byte, and address tags decide their fate."""

from __future__ import annotations

import asyncio
import logging
import mailbox
import stat
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from campaign.sandbox import Sandbox
from campaign.sandbox.state import State
from support.variants import variants

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE = (
    b"From: Acme <hello@acme.example>\r\n"
    b"To: mia@example.com\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= an\r\n =?utf-8?q?_Mia?=\r\n"
    b"List-Id: Welcome <welcome.acme.example>\r\n"
    b"\r\n"
    b".starts with a dot\r\n\xc3\xa9 8 bit \t \r\n..\r\n" + b"x" * 998 + b"\r\n\r\n\r\n"
)


class Client:
    """A line-based SMTP client that sends exactly what a test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, sandbox: Sandbox) -> Client:
        """Return a client after EHLO."""
        client = cls(*await asyncio.open_connection("127.0.0.1", urlsplit(sandbox.smtp_url).port))
        assert (await client.reply()).startswith("220 sandbox.localhost ESMTP")
        assert (await client.say("EHLO there.example")).startswith("250-")
        return client

    async def reply(self) -> str:
        """Return one reply with all its lines; an empty text means that the connection was closed."""
        lines = []
        while line := (await asyncio.wait_for(self.reader.readline(), 5)).decode():
            lines.append(line.rstrip())
            if line[3:4] != "-":
                break
        return "\n".join(lines)

    async def say(self, command: str) -> str:
        """Send a command and return the reply."""
        self.writer.write(f"{command}\r\n".encode())
        return await self.reply()

    async def send(self, recipient: str, message: bytes = MESSAGE) -> str:
        """Send a message as far as the server accepts it, and return the last reply."""
        await self.say("RSET")
        assert (await self.say("MAIL FROM:<hello@acme.example>")).startswith("250")
        refusal = await self.say(f"RCPT TO:<{recipient}>")
        if not refusal.startswith("250"):
            return refusal
        assert (await self.say("DATA")).startswith("354")
        stuffed = b"".join(b"." + line if line.startswith(b".") else line for line in message.splitlines(keepends=True))
        self.writer.write(stuffed + b".\r\n")
        return await self.reply()

    async def close(self) -> None:
        """Close the connection without QUIT."""
        self.writer.close()
        await self.writer.wait_closed()


def test_a_message_is_kept_byte_for_byte(tmp_path: Path) -> None:
    """A message is stored in the Maildir exactly as it was sent, in files that only their owner can read."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            client = await Client.connect(sandbox)
            assert (await client.send("mia@example.com")).startswith("250 2.0.0")
            await client.close()
            (mail,) = sandbox.state.mailbox.find()
            assert (mail.sender, mail.recipients) == ("hello@acme.example", ("mia@example.com",))
            assert (mail.subject, mail.list_id) == ("Grüße an Mia", "Welcome <welcome.acme.example>")
            assert (mail.size, mail.number) == (len(MESSAGE), 1)
            assert sandbox.state.mailbox.content(mail) == MESSAGE
            (file,) = (sandbox.maildir / "new").iterdir()
            assert file.read_bytes() == MESSAGE
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert not list((sandbox.maildir / "tmp").iterdir())

    asyncio.run(scenario())
    maildir = mailbox.Maildir(tmp_path / "state" / "mail", create=False)
    assert [message["To"] for message in maildir] == ["mia@example.com"]


def test_a_mail_that_was_shown_elsewhere_is_still_found(tmp_path: Path) -> None:
    """A message that a mail program moved is still found, and a deleted one is None."""
    state = State(tmp_path / "state")
    name = state.mailbox.store(MESSAGE, sender="a@example.com", recipients=["b@example.com"])
    (mail,) = state.mailbox.find()
    moved = state.mailbox.folder / "cur" / f"{name}:2,S"
    (state.mailbox.folder / "new" / name).rename(moved)
    assert state.mailbox.content(mail) == MESSAGE
    moved.unlink()
    assert state.mailbox.content(mail) is None
    state.close()


def test_the_mailbox_lists_and_searches(tmp_path: Path) -> None:
    """Mails are listed newest first, and are filtered by part of the recipient's address and by campaign."""
    state = State(tmp_path / "state")
    box = state.mailbox
    assert box.last_number() == 0
    for number in range(3):
        message = b"List-Id: <%d.example>\r\nSubject: =?x?q?y?=\r\n\r\n" % (number // 2)
        box.store(message, sender="", recipients=[f"Mia{number}@example.com"])
    assert [mail.number for mail in box.find()] == [3, 2, 1]
    assert [mail.number for mail in box.find(limit=1, offset=1)] == [2]
    assert [mail.recipients for mail in box.find(address="mia1@EXAMPLE")] == [("Mia1@example.com",)]
    assert [mail.number for mail in box.find(list_id="<0.example>")] == [2, 1]
    assert box.campaigns() == [("<1.example>", 1), ("<0.example>", 2)]
    assert (box.last_number(), box.get(2)) == (3, box.find()[1])
    assert box.get(9) is None
    state.close()


def test_pipelined_commands_are_answered_in_order(tmp_path: Path) -> None:
    """PIPELINING is offered, and the commands of two messages in two writes are answered in order."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            client = await Client.connect(sandbox)
            extensions = await client.say("EHLO there.example")
            assert {"250-SIZE 33554432", "250-8BITMIME", "250-PIPELINING"} <= set(extensions.split("\n"))
            envelope = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<%s@example.com>\r\nDATA\r\n"
            client.writer.write(envelope % b"one")
            assert [(await client.reply())[:3] for _ in range(3)] == ["250", "250", "354"]
            client.writer.write(b"Subject: 1\r\n\r\none\r\n.\r\n" + envelope % b"two+bounce")
            assert [(await client.reply())[:3] for _ in range(4)] == ["250", "250", "550", "503"]
            client.writer.write(b"RSET\r\n" + envelope % b"three" + b"Subject: 3\r\n\r\nthree\r\n.\r\nQUIT\r\n")
            assert [(await client.reply())[:3] for _ in range(6)] == ["250", "250", "250", "354", "250", "221"]
            await client.close()
            mails = sandbox.state.mailbox.find()
            assert [mail.recipients for mail in mails] == [("three@example.com",), ("one@example.com",)]

    asyncio.run(scenario())


def test_a_bounce_is_refused_for_good(tmp_path: Path) -> None:
    """`+bounce@` is answered with 550 5.1.1 at RCPT each time, and nothing is stored."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            client = await Client.connect(sandbox)
            for _ in range(2):
                assert (await client.send("Mia+Bounce@example.com")).startswith("550 5.1.1 ")
            await client.close()
            assert not sandbox.state.mailbox.find()

    asyncio.run(scenario())


def test_a_deferral_is_counted_across_restarts(tmp_path: Path) -> None:
    """`+defer2@` is deferred twice, also across restarts, then accepted once, and then deferred again."""

    async def replies(number: int) -> list[str]:
        async with Sandbox(tmp_path / "state") as sandbox:
            client = await Client.connect(sandbox)
            found = [(await client.send("mia+defer2@example.com"))[:9] for _ in range(number)]
            await client.close()
            return found

    assert asyncio.run(replies(1)) == ["451 4.7.1"]
    assert asyncio.run(replies(3)) == ["451 4.7.1", "250 2.0.0", "451 4.7.1"]


def test_a_drop_is_taken_without_a_reply(tmp_path: Path) -> None:
    """`+drop@` stores the message and closes the connection instead of replying."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            client = await Client.connect(sandbox)
            assert await client.send("mia+drop@example.com") == ""
            await client.close()
            assert len(sandbox.state.mailbox.find()) == 1

    asyncio.run(scenario())


def test_a_hang_is_taken_and_never_answered(tmp_path: Path) -> None:
    """`+hang@` stores the message and never replies; other clients are served meanwhile, and the sandbox can stop."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            hung = await Client.connect(sandbox)
            waiting = asyncio.ensure_future(hung.send("mia+hang@example.com"))  # noqa: TID251 - a test's own
            other = await Client.connect(sandbox)
            assert (await other.send("ann@example.com")).startswith("250")
            while len(sandbox.state.mailbox.find()) < 2:
                await asyncio.wait([waiting], timeout=0.01)
            assert not waiting.done()
            await other.close()
        assert await waiting == ""
        await hung.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("method", variants(["GET", "POST", "OPTIONS", "CONNECT", "get"]))
def test_a_web_request_ends_the_conversation(tmp_path: Path, method: str) -> None:
    """At a method of HTTP the connection is closed, and commands in the request's body do nothing."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            client = Client(*await asyncio.open_connection("127.0.0.1", urlsplit(sandbox.smtp_url).port))
            await client.reply()
            mail = "HELO x\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<mia@example.com>\r\nDATA\r\nx\r\n.\r\n"
            request = f"{method} / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(mail)}\r\n\r\n{mail}"
            assert (await client.say(request)).startswith("221 2.7.0 ")
            assert await client.reply() == ""
            assert sandbox.state.mailbox.last_number() == 0
            client.writer.close()

    asyncio.run(scenario())


def test_a_line_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """A line of more than 998 characters is refused after the final dot (RFC 5321 §4.5.3.1.6)."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            client = await Client.connect(sandbox)
            assert (await client.send("mia@example.com", b"x" * 1100 + b"\r\n")).startswith("500")
            assert (await client.send("mia@example.com")).startswith("250")
            await client.close()

    asyncio.run(scenario())


def test_a_failure_of_the_sandbox_blames_nobody(tmp_path: Path) -> None:
    """If a message cannot be stored, the server answers 451, and accepts the next one when storing works again."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            client = await Client.connect(sandbox)
            drafts = sandbox.maildir / "tmp"
            drafts.rename(sandbox.maildir / "away")
            assert (await client.send("mia@example.com")).startswith("451 4.3.0")
            (sandbox.maildir / "away").rename(drafts)
            assert (await client.send("mia@example.com")).startswith("250")
            await client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("<mia@example.com> SIZE=100", "250"),
        ("<mia@example.com> SIZE=99999999", "552"),
        ('<"odd name"@example.com>', "250"),
        ("<mia@xn--bcher-kva.example>", "250"),
        ("<mia@", "553"),
        ("<mia@example.com> BODY=8BITMIME", "250"),
        ("<mia@example.com> NOVELTY=1", "555"),
    ],
)
def test_a_sender_is_read_as_the_standard_says(sandbox: Sandbox, written: str, status: str) -> None:
    """MAIL accepts plain and quoted mailboxes and the offered parameters, and nothing else."""

    async def scenario() -> None:
        client = await Client.connect(sandbox)
        reply = await client.say(f"MAIL FROM:{written}")
        await client.close()
        assert reply[:3] == status

    asyncio.run(scenario())


def test_no_mail_reaches_the_debug_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No part of a message is logged, even at debug level."""

    async def scenario() -> None:
        async with Sandbox(tmp_path / "state") as sandbox:
            client = await Client.connect(sandbox)
            await client.send("mia@example.com", b"Subject: x\r\n\r\nhttps://acme.example/?token=SECRET\r\n")
            await client.close()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(scenario())
    assert "SECRET" not in caplog.text
