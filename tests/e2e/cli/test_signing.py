"""A campaign with DKIM as a whole: the mails that arrive verify, and a run that cannot sign is refused early."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from support.dkim_keys import verifies, write_key
from support.environment import environment
from support.refusals import refused, stranger_to
from support.servers.script import Drop, Fault, Reply
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment

SECTION = '[dkim]\nselector = "s1"\n'
NAME = "s1._domainkey.acme.example"
LIMITS = '[limits]\nmessages = "1000/second"\n'
#: Non-ASCII text, which is sent as 8-bit if it is not signed.
WORDS = "Grüße, {{ first_name }}\n.\nFrom us  \n\n"


def published(env: Environment) -> dict[str, str]:
    """Return the TXT record that `check` prints."""
    done = env.work.campaign("check", "campaign.toml")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    at = lines.index(NAME)
    return {lines[at]: lines[at + 1]}


@pytest.mark.parametrize(("kind", "link", "tls"), [("rsa2048", True, "starttls"), ("ed25519", False, "none")])
def test_every_mail_of_a_run_verifies(tmp_path: Path, kind: str, *, link: bool, tls: str) -> None:
    """Every mail of a run is 7-bit, verifies with the record of `check`, and has the token in the body only."""
    folder, kept = tmp_path / "work", tmp_path / "kept"
    folder.mkdir()
    kept.mkdir()
    faults = (
        Fault("rcpt", Reply("451 4.7.1 Greylisted"), to="u2@*", times=1),
        Fault("dot", Drop(done=True), to="u3@*"),
    )
    smtp = SmtpScript(tls=tls, credentials=("acme", "pass") if link else None, keep=str(kept), faults=faults)
    more = f'{SECTION}{LIMITS}[retry]\nfirst_delay = "50ms"\n'
    text = WORDS + ("{{ link }}" if link else "")
    with environment(folder, 12, smtp=smtp, link=link, text=text, more=more) as env:
        (tmp_path / "authority.pem").write_bytes(env.smtp.authority)
        env.work.environment["SSL_CERT_FILE"] = str(tmp_path / "authority.pem")
        env.work.environment["CAMPAIGN_DKIM_KEY"] = str(write_key(tmp_path, kind))
        records = published(env)
        done = env.work.run()
        assert done.returncode == 1, "one of them is uncertain"
        assert env.work.status()["sent"] == 11
        assert len(env.mailed) == 12
        for event in env.accepted:
            mail = (kept / event["sha256"]).read_bytes()
            assert mail.startswith(b"DKIM-Signature: v=1; ")
            assert verifies(mail, records)
            assert mail.isascii(), "no relay has to change it"
            head, _, body = mail.partition(b"\r\n\r\n")
            assert len(event["tokens"]) == int(link)
            for token in event["tokens"]:
                assert token.encode() not in head
                assert token.encode() in body.replace(b"=\r\n", b"")
        assert not env.smtp.events("violation")
        if link:
            assert env.verdict(first_delay=0.05).violated == {}


def test_a_test_mail_is_signed_and_a_preview_is_not(tmp_path: Path) -> None:
    """`test` sends a signed mail as a run would, and `preview` shows the message unsigned."""
    folder, kept = tmp_path / "work", tmp_path / "kept"
    folder.mkdir()
    kept.mkdir()
    with environment(folder, smtp=SmtpScript(keep=str(kept)), more=SECTION + LIMITS) as env:
        env.work.environment["CAMPAIGN_DKIM_KEY"] = str(write_key(tmp_path, "rsa2048"))
        done = env.work.campaign("test", "campaign.toml", "--to", "me@acme.example")
        assert (done.returncode, done.stderr) == (0, "")
        assert "signed" not in done.stdout
        (mail,) = kept.iterdir()
        assert verifies(mail.read_bytes(), published(env))
        shown = env.work.campaign("preview", "campaign.toml")
        assert shown.returncode == 0
        assert "DKIM" not in shown.stdout


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (None, ("campaign.toml", "[dkim]", "CAMPAIGN_DKIM_KEY", "not set")),
        ("missing", ("CAMPAIGN_DKIM_KEY", "dkim.pem", "does not exist", "openssl genpkey")),
        ("encrypted", ("CAMPAIGN_DKIM_KEY", "dkim.pem", "is encrypted")),
        ("ec", ("CAMPAIGN_DKIM_KEY", "dkim.pem", "neither RSA nor Ed25519")),
        ("rsa512", ("CAMPAIGN_DKIM_KEY", "dkim.pem", "1024")),
    ],
)
def test_what_cannot_be_signed_is_not_begun(tmp_path: Path, kind: str | None, words: tuple[str, ...]) -> None:
    """Without a usable key, `run` and `test` exit 2 without enlisting a recipient, and `check` reports it."""
    with environment(tmp_path, more=SECTION) as env:
        if kind is not None:
            env.work.environment["CAMPAIGN_DKIM_KEY"] = "dkim.pem"
            if kind != "missing":
                write_key(tmp_path, kind)
        refused(env.work.run(), *words)
        refused(env.work.campaign("test", "campaign.toml", "--to", "me@acme.example"), *words)
        assert env.silent
        assert not env.work.log.exists()
        done = env.work.campaign("check", "campaign.toml")
        assert done.returncode == 2
        (problem,) = (line for line in done.stdout.splitlines() if line.startswith("problem: "))
        assert all(word in problem for word in words)


def test_the_sandbox_does_without_a_key(tmp_path: Path) -> None:
    """In the sandbox a campaign without a key runs unsigned, with a note, and one with a key is signed."""
    work = stranger_to(tmp_path)
    work.write(more=SECTION)
    checked = work.campaign("check", "campaign.toml")
    assert checked.returncode == 0
    assert "not signed" in checked.stdout
    done = work.campaign("run", "campaign.toml", "--limit", "1")
    assert (
        done.stdout.splitlines()[1]
        == "The mail is not signed, because CAMPAIGN_DKIM_KEY is not set and [dkim] needs it."
    )
    assert "not signed" in work.campaign("test", "campaign.toml", "--to", "me@acme.example").stdout
    mails = tmp_path / ".campaign" / "mail" / "new"
    assert [b"DKIM-Signature" in mail.read_bytes() for mail in mails.iterdir()] == [False, False]
    work.environment["CAMPAIGN_DKIM_KEY"] = str(write_key(tmp_path, "ed25519"))
    done = work.campaign("run", "campaign.toml")
    assert "not signed" not in done.stdout
    assert sorted(b"DKIM-Signature" in mail.read_bytes() for mail in mails.iterdir()) == [False, False, True, True]


def test_a_key_of_other_campaigns_signs_nothing(tmp_path: Path) -> None:
    """Without [dkim] a key changes no mail, even an unusable one, and `check` says that mails are not signed."""
    folder, kept = tmp_path / "work", tmp_path / "kept"
    folder.mkdir()
    kept.mkdir()
    with environment(folder, smtp=SmtpScript(keep=str(kept))) as env:
        env.work.environment["CAMPAIGN_DKIM_KEY"] = "missing.pem"
        assert "DKIM: nothing is signed; CAMPAIGN_DKIM_KEY is set" in env.work.campaign("check", "campaign.toml").stdout
        assert env.work.run().returncode == 0
        assert [b"DKIM-Signature" in mail.read_bytes() for mail in kept.iterdir()] == [False] * 3
        assert {mail.name for mail in kept.iterdir()} == {event["sha256"] for event in env.accepted}
        assert all(hashlib.sha256(mail.read_bytes()).hexdigest() == mail.name for mail in kept.iterdir())


def test_check_doubts_a_weak_key(tmp_path: Path) -> None:
    """`check` warns about an RSA key below 2048 bits, and still prints its record."""
    with environment(tmp_path, more=SECTION + LIMITS) as env:
        env.work.environment["CAMPAIGN_DKIM_KEY"] = str(write_key(tmp_path, "rsa1024"))
        assert published(env)[NAME].startswith("v=DKIM1; k=rsa; p=MIG")
        said = env.work.campaign("check", "campaign.toml").stdout
        assert "warning: CAMPAIGN_DKIM_KEY: " in said
        assert "1024 bits; RFC 8301 advises at least 2048" in said


def test_check_tells_of_wrong_settings(tmp_path: Path) -> None:
    """`check` reports a setting that would stop every run."""
    with environment(tmp_path) as env:
        env.work.environment["CAMPAIGN_REPLY_TIMEOUT"] = "soon"
        done = env.work.campaign("check", "campaign.toml")
        assert done.returncode == 2
        assert "problem: CAMPAIGN_REPLY_TIMEOUT: " in done.stdout
