"""DKIM signatures: an independent verifier accepts each of them, and rejects a message that was altered."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import assume, given
from hypothesis import strategies as st

from campaign.clock import SystemClock
from campaign.config.definition import DkimSection
from campaign.errors import SettingsError
from campaign.message.dkim.key import read_key
from campaign.message.dkim.signature import DkimField, signed
from campaign.message.dkim.signer import Signer
from campaign.message.mime.headers import one_line
from campaign.message.mime.mime_template import MimeTemplate
from support.dkim_keys import canonical, verifies, write_key

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.message.dkim.key import SigningKey

NAME = "s1._domainkey.acme.example"
SECTION = DkimSection(selector="s1", domain="acme.example")
AT = 1_700_000_000
#: Difficult text: blanks before line breaks, full stops, non-ASCII, encoded words, long lines.
TEXTS = st.lists(st.text(max_size=90) | st.sampled_from(["a  \t ", ".", "From me", "ü" * 80, " \n", "=", "=?q?"])).map(
    "\n".join
)
SUBJECTS = (st.text(max_size=200) | st.lists(st.sampled_from(["word", "  ", "\t", "ü", "=?"])).map("".join)).map(
    one_line
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SigningKey]:
    """Return a key of each algorithm."""
    folder = tmp_path_factory.mktemp("keys")
    return {kind: read_key(write_key(folder, kind, kind)) for kind in ("rsa1024", "rsa2048", "ed25519", "pkcs1")}


@cache
def skeleton(reply_to: str | None) -> MimeTemplate:
    """Return the MIME template of the messages."""
    sender = "Acmé, a somewhat long name of a company in Zürich <hello@acme.example>"
    return MimeTemplate(sender=sender, reply_to=reply_to, list_id="<x.acme.example>", boundary="=_0123456789abcdef")


def composed(subject: str = "Hello", text: str = "text", html: str = "<p>", *, reply_to: str | None = None) -> bytes:
    """Return a message composed by the program."""
    (message,) = skeleton(reply_to).fill(
        to="ana@example.com",
        subject=subject or "Hello",
        date=datetime(2025, 3, 1, 12, 30, 45, tzinfo=UTC),
        message_id="<1@acme.example>",
        text=text,
        html=html,
        eight_bit=False,
    )
    return message


def sign(key: SigningKey, message: bytes, *, domain: str = "acme.example", selector: str = "s1") -> bytes:
    """Return a message with its signature field on top."""
    draft = DkimField(algorithm=key.algorithm, domain=domain, selector=selector).draft(message, AT)
    return signed(draft, key.sign(draft.data), message)


def tags(message: bytes) -> dict[str, str]:
    """Return the tags of the signature field on top of a message."""
    field = re.split(rb"\r\n(?![ \t])", message, maxsplit=1)[0].decode("ascii")
    name, _, value = field.partition(":")
    assert name == "DKIM-Signature"
    pairs = [part.split("=", 1) for part in re.sub(r"\s+", "", value).split(";")]
    return dict(pairs)


@pytest.mark.parametrize("kind", ["rsa1024", "rsa2048", "pkcs1", "ed25519"])
@given(subject=SUBJECTS, text=TEXTS, html=TEXTS, reply_to=st.sampled_from([None, "Help <help@acme.example>"]))
def test_every_message_of_ours_verifies(
    *, keys: dict[str, SigningKey], kind: str, subject: str, text: str, html: str, reply_to: str | None
) -> None:
    """Whatever a message contains, an independent verifier accepts its signature with the published DNS record."""
    done = sign(keys[kind], composed(subject, text, html, reply_to=reply_to))
    assert done.isascii()
    assert verifies(done, {NAME: keys[kind].record})


@given(
    value=st.lists(st.sampled_from(["word", " ", "\t", "\r\n ", "\r\n\t", ":", ";", "é"]), max_size=12).map("".join),
    body=st.lists(st.sampled_from(["word", " ", "\r\n", ".", "\t"])).map("".join),
)
def test_the_canonical_form_is_that_of_any_message(keys: dict[str, SigningKey], value: str, body: str) -> None:
    """Folded lines, tabs, blanks and empty lines anywhere, or a missing body, keep the signature valid."""
    # a line of blanks alone is obsolete folding, which must not be generated (RFC 5322 §3.2.2)
    assume(not re.search(r"\r\n[ \t]*(\r\n|\Z)", value))
    head = f"Subject:{value}\r\nFROM:  a@acme.example\r\n\tX-Not-Signed: 1\r\nTo:\tb@example.com \t"
    message = f"{head}\r\n\r\n{body}".encode()
    assert verifies(sign(keys["ed25519"], message), {NAME: keys["ed25519"].record})


@given(data=st.data(), text=TEXTS)
def test_no_octet_can_be_altered(keys: dict[str, SigningKey], data: st.DataObject, text: str) -> None:
    """If one byte of a header or the body changes, other than blanks or case, the verifier rejects the message."""
    key, message = keys["ed25519"], composed("Two  words", text, text, reply_to="help@acme.example")
    end_of_headers = message.index(b"\r\n\r\n")
    place = data.draw(st.integers(0, end_of_headers - 1) | st.integers(0, len(message) - 1))
    altered = bytearray(message)
    altered[place] = data.draw(st.sampled_from(b"x \t\r\n:") | st.integers(0, 127))
    done = sign(key, message)
    changed = done.removesuffix(message) + altered
    # a bare CR or LF must not be sent (RFC 5321 §2.3.8), and the verifier takes a bare LF for the end of a line
    assume(not re.search(rb"\r(?!\n)|(?<!\r)\n", changed))
    assume(canonical(changed) != canonical(done))
    assert verifies(done, {NAME: key.record})
    assert not verifies(changed, {NAME: key.record})


@pytest.mark.parametrize("added", [b"From: Eve <eve@evil.example>\r\n", b"from:eve@evil.example\r\n"])
def test_no_sender_can_be_added(keys: dict[str, SigningKey], added: bytes) -> None:
    """The verifier rejects a second From, above or below the first one, and accepts an added Received."""
    key, message = keys["ed25519"], composed()
    done, records = sign(key, message), {NAME: key.record}
    assert not verifies(added + done, records)
    assert not verifies(done.replace(b"\r\n\r\n", b"\r\n" + added + b"\r\n", 1), records)
    assert verifies(b"Received: from a by b; Sat, 1 Mar 2025 12:30:45 +0000\r\n" + done, records)


def test_folds_may_change_on_the_way(keys: dict[str, SigningKey]) -> None:
    """The signature stays valid if a relay refolds headers or changes their case or blanks."""
    key = keys["ed25519"]
    done = sign(key, composed("One two"))
    changed = done.replace(b"Subject: One two", b"SUBJECT:  One\r\n\ttwo ").replace(b"List-Id: ", b"list-id:")
    assert changed != done
    assert verifies(changed, {NAME: key.record})


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519"])
def test_the_tags_are_those_of_the_standard(keys: dict[str, SigningKey], kind: str) -> None:
    """The field names algorithm, canonical forms, signer and time, and lists each header once, but From twice."""
    found = tags(sign(keys[kind], composed(reply_to="help@acme.example")))
    assert list(found) == ["v", "a", "c", "d", "s", "h", "t", "bh", "b"]
    assert (found["v"], found["c"], found["t"]) == ("1", "relaxed/simple", str(AT))
    assert found["a"] == {"rsa2048": "rsa-sha256", "ed25519": "ed25519-sha256"}[kind]
    assert (found["d"], found["s"]) == ("acme.example", "s1")
    assert found["h"].split(":") == [
        "from", "from", "to", "reply-to", "subject", "date", "message-id", "list-id", "auto-submitted",
        "mime-version", "content-type",
    ]  # fmt: skip


@given(labels=st.lists(st.integers(1, 10), min_size=2, max_size=5), selector=st.integers(1, 63))
def test_a_line_of_the_field_has_at_most_78_columns(
    keys: dict[str, SigningKey], labels: list[int], selector: int
) -> None:
    """The signature field is folded to at most 78 columns, however long the names in it are, and still verifies."""
    domain, short = ".".join("d" * label for label in labels), "s" * selector
    message = composed()
    done = sign(keys["rsa2048"], message, domain=domain, selector=short)
    assert max(map(len, done.removesuffix(message).split(b"\r\n"))) <= 78
    assert verifies(done, {f"{short}._domainkey.{domain}": keys["rsa2048"].record})


def test_the_vector_of_rfc_8463(tmp_path: Path) -> None:
    """The key and message of RFC 8463, appendix A, give the signature and the DNS record that the RFC shows."""
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    (tmp_path / "key").write_bytes(
        Ed25519PrivateKey.from_private_bytes(seed).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    key = read_key(tmp_path / "key")
    assert key.record == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    octets = (
        b"from:Joe SixPack <joe@football.example.com>\r\n"
        b"to:Suzie Q <suzie@shopping.example.net>\r\n"
        b"subject:Is dinner ready?\r\n"
        b"date:Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
        b"message-id:<20030712040037.46341.5F8J@football.example.com>\r\n"
        b"dkim-signature:v=1; a=ed25519-sha256; c=relaxed/relaxed; d=football.example.com; i=@football.example.com;"
        b" q=dns/txt; s=brisbane; t=1528637909; h=from : to : subject : date : message-id : from : subject : date;"
        b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b="
    )
    assert base64.b64encode(key.sign(octets)) == (
        b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    )


@pytest.mark.parametrize(("kind", "number"), [("rsa2048", 20), ("ed25519", 300)])
def test_many_are_signed_at_once(keys: dict[str, SigningKey], kind: str, number: int) -> None:
    """Messages signed in one batch each get their own signature and time; a cancelled one does not delay the others."""
    key, clock = keys[kind], SystemClock()
    began = int(clock.now())

    async def run() -> list[tuple[bytes, ...] | BaseException]:
        signer = Signer(key, SECTION, clock)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(signer.sign((composed(f"Number {each}"),))) for each in range(number)]
            await clock.sleep(0)
            tasks[3].cancel()
        signer.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for each, outcome in enumerate(asyncio.run(run())):
        if each == 3:
            assert isinstance(outcome, asyncio.CancelledError)
            continue
        assert isinstance(outcome, tuple)
        (done,) = outcome
        assert f"Subject: Number {each}\r\n".encode() in done
        assert verifies(done, {NAME: key.record})
        assert began <= int(tags(done)["t"]) <= clock.now()


@pytest.mark.parametrize("end", [b"last line\r\n", b"--=_1--\r\n"])
def test_a_message_in_pieces_is_signed_as_a_whole(keys: dict[str, SigningKey], end: bytes) -> None:
    """The signature of a message in pieces is valid for the whole message, and the later pieces are not copied."""
    pieces = (composed() + b"\r\n\r\n", b"--=_1\r\n\r\neA==\r\n", end)

    async def run() -> tuple[bytes, ...]:
        signer = Signer(keys["ed25519"], SECTION, SystemClock())
        done = await signer.sign(pieces)
        signer.close()
        return done

    done = asyncio.run(run())
    assert all(after is before for after, before in zip(done[1:], pieces[1:], strict=True))
    assert verifies(b"".join(done), {NAME: keys["ed25519"].record})


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519"])
def test_a_fault_of_the_key_reaches_whoever_waits(keys: dict[str, SigningKey], kind: str) -> None:
    """If signing fails, every waiting message gets the error, and no message goes out unsigned."""

    def fail(octets: bytes) -> bytes:
        raise OSError(octets)

    async def run() -> list[tuple[bytes, ...] | BaseException]:
        signer = Signer(replace(keys[kind], sign=fail), SECTION, SystemClock())
        outcomes = await asyncio.gather(*(signer.sign((composed(),)) for _ in range(5)), return_exceptions=True)
        signer.close()
        return outcomes

    assert [type(outcome) for outcome in asyncio.run(run())] == [OSError] * 5


@pytest.mark.parametrize("message", [b"", b"From: a@acme.example\r\n", b"To: a@acme.example\r\n\r\nbody\r\n"])
def test_what_is_no_message_is_not_signed(keys: dict[str, SigningKey], message: bytes) -> None:
    """A message without From, or without an end of its headers, is not signed."""
    with pytest.raises(ValueError, match="not a complete message"):
        sign(keys["ed25519"], message)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "does not exist; correct the path, or make a key with: openssl genpkey"),
        ("folder", "cannot be read (Is a directory)"),
        ("text", "contains no private key in PEM form"),
        ("public", "contains no private key in PEM form"),
        ("encrypted", "is encrypted"),
        ("ec", "neither RSA nor Ed25519"),
        ("rsa512", "RSA key of 512 bits, but RFC 8301 requires at least 1024"),
    ],
)
def test_a_key_that_cannot_sign_is_refused(tmp_path: Path, kind: str, words: str) -> None:
    """A file without a usable DKIM key is refused with its setting and what to do; none of its content is shown."""
    path = tmp_path / "dkim.pem"
    match kind:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("hunter2")
        case "missing":
            pass
        case _:
            write_key(tmp_path, kind)
    with pytest.raises(SettingsError) as refused:
        read_key(path)
    assert str(refused.value).startswith(f"CAMPAIGN_DKIM_KEY: {path} ")
    assert words in str(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("kind", "words"), [("rsa1024", "RFC 8301 advises at least 2048"), ("rsa2048", None), ("ed25519", None)]
)
def test_a_weak_key_is_doubted(keys: dict[str, SigningKey], kind: str, words: str | None) -> None:
    """An RSA key below 2048 bits signs, and gives a warning."""
    doubt = keys[kind].doubt
    assert (doubt is None) if words is None else (doubt is not None and words in doubt)
