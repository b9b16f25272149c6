"""Rules about From, Reply-To and the key that need no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.compliance.finding import Severity
from campaign.compliance.sender import review_sender
from campaign.config.definition import load_definition
from campaign.message.dkim.key import read_key
from support.dkim_keys import write_key

if TYPE_CHECKING:
    from pathlib import Path

    from campaign.compliance.finding import Finding


def found(folder: Path, sender: str, reply_to: str = "", kind: str = "", *, leave: bool = True) -> list[Finding]:
    """Return the findings about a campaign with this sender and kind of key."""
    (folder / "email.html").write_text("<p>Hello</p>", encoding="utf-8")
    reply = f'reply_to = "{reply_to}"\n' if reply_to else ""
    (folder / "campaign.toml").write_text(
        f'name = "x"\n[recipients]\nfile = "p.csv"\n[email]\nfrom = "{sender}"\n{reply}subject = "S"\n'
        'html = "email.html"\n[dkim]\nselector = "s1"\n' + ('[unsubscribe]\nnone = "transactional"\n' if leave else ""),
        encoding="utf-8",
    )
    definition = load_definition(folder / "campaign.toml")
    return review_sender(definition, read_key(write_key(folder, kind)) if kind else None)


def test_from_at_a_free_mail_domain_is_a_problem(tmp_path: Path) -> None:
    """From at a free-mail domain is a problem that names the line, the rule and what to do."""
    (one,) = found(tmp_path, "Acme <acme@GMail.com>", reply_to="acme@yahoo.com")
    assert one.severity is Severity.PROBLEM
    assert str(one).startswith(f"{tmp_path / 'campaign.toml'}:5: [email] from: gmail.com is a free-mail domain")
    assert "send from a domain of your own (Google and Yahoo, sender guidelines)" in str(one)


def test_reply_to_at_a_free_mail_domain_is_a_warning(tmp_path: Path) -> None:
    """Reply-To at a free-mail domain, with From at another, is a warning."""
    (one,) = found(tmp_path, "hello@acme.example", reply_to="Acme <acme@outlook.com>")
    assert one.severity is Severity.WARNING
    assert str(one).startswith(f"{tmp_path / 'campaign.toml'}:6: [email] reply_to: outlook.com")


def test_an_ed25519_signature_alone_is_a_warning(tmp_path: Path) -> None:
    """A key that large receivers do not verify is a warning, and an RSA key is none."""
    assert found(tmp_path, "hello@acme.example", kind="rsa2048") == []
    (one,) = found(tmp_path, "hello@acme.example", kind="ed25519")
    assert one.severity is Severity.WARNING
    assert str(one).startswith(f"{tmp_path / 'campaign.toml'}:8: [dkim]: ")
    assert "RFC 8463" in str(one)
    assert "openssl genpkey -algorithm RSA" in str(one)


def test_mails_without_a_way_to_say_no_are_a_warning(tmp_path: Path) -> None:
    """A campaign without `[unsubscribe]` is told what to add."""
    (one,) = found(tmp_path, "hello@acme.example", leave=False)
    assert one.severity is Severity.WARNING
    assert 'add [unsubscribe] with url = "https://mail.acme.example/u", or with none = "transactional"' in str(one)
