"""Attachments in whole runs: each person's own file, and rows whose file is missing or is none."""

from __future__ import annotations

import os
from email import message_from_bytes
from email.policy import SMTP
from typing import TYPE_CHECKING

from support.dkim_keys import verifies, write_key
from support.environment import environment
from support.refusals import refused
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.environment import Environment

HTML = '<p>Hello</p><img alt="" src="{{ cid("logo.png") }}"><p><a href="{{ link }}">Sign in</a></p>'
OWN = '[[email.attachments]]\npath = "invoices/{{ user_id }}.pdf"\n'
SHARED = '[[email.attachments]]\npath = "terms.pdf"\n'
DKIM = '[dkim]\nselector = "s1"\n'


def fill(folder: Path, *users: int, size: int = 10) -> None:
    """Write the shared files, and the invoices of some users."""
    (folder / "logo.png").write_bytes(b"\x89PNG logo")
    (folder / "terms.pdf").write_bytes(b"%PDF terms")
    (folder / "invoices").mkdir()
    for user in users:
        (folder / f"invoices/user_{user}.pdf").write_bytes(str(user).encode() * size)


def record_of(env: Environment) -> dict[str, str]:
    """Return the TXT record that `check` prints."""
    lines = env.work.campaign("check", "campaign.toml").stdout.splitlines()
    at = lines.index("s1._domainkey.acme.example")
    return {lines[at]: lines[at + 1]}


def test_each_gets_the_own_invoice_and_who_has_none_is_skipped(tmp_path: Path) -> None:
    """Each mail has its own file, the shared one and the image, signed; a row without its file is told and skipped."""
    folder, kept = tmp_path / "work", tmp_path / "kept"
    folder.mkdir()
    kept.mkdir()
    (folder / "logo.png").write_bytes(b"\x89PNG logo")
    with environment(folder, 4, html=HTML, smtp=SmtpScript(keep=str(kept)), more=SHARED + OWN + DKIM) as env:
        fill(folder, 0, 1, 3, size=50_000)
        os.mkfifo(folder / "invoices/user_2.pdf")
        env.work.environment["CAMPAIGN_DKIM_KEY"] = str(write_key(tmp_path, "ed25519"))
        records = record_of(env)
        told = env.work.campaign("check", "campaign.toml").stdout
        assert "people.csv:4: skipped: invoices/user_2.pdf: Only a regular file can be attached" in told
        assert "files: logo.png (image/png, 9 B), terms.pdf (application/pdf, 10 B)" in told
        assert "files: at most 50.0 kB in a mail, on line 2 of the CSV" in told
        assert "3 emails can be rendered, 1 row skipped" in told
        shown = env.work.campaign("preview", "campaign.toml").stdout
        assert "Attached: user_0.pdf (application/pdf, 50.0 kB)" in shown
        assert "Image: logo.png (image/png, 9 B)" in shown

        done = env.work.run()
        assert done.returncode == 0, done.stderr
        assert env.mailed == ["u0@d0.example", "u1@d1.example", "u3@d3.example"]
        assert "user_2" not in {event["user_id"] for event in env.tokens}
        (row,) = (row for row in env.work.rows() if row["state"] == "skipped")
        assert row["reason"].startswith("line 4: invoices/user_2.pdf: Only a regular file")
        for event in env.accepted:
            data = (kept / event["sha256"]).read_bytes()
            assert verifies(data, records)
            mail = message_from_bytes(data, policy=SMTP)
            terms, invoice = mail.iter_attachments()
            assert terms.get_content() == b"%PDF terms"
            assert invoice.get_content() == event["rcpt"][0][1].encode() * 50_000
        verdict = env.verdict()
        assert verdict.holds, verdict.table()

        (folder / "invoices/user_2.pdf").unlink()
        (folder / "invoices/user_2.pdf").write_bytes(b"2")
        env.work.campaign("retry", "campaign.toml", "--state", "skipped")
        assert env.work.run().returncode == 0
        assert len(env.mailed) == 4


def test_a_mail_that_the_server_finds_too_large_is_not_begun(tmp_path: Path) -> None:
    """An attachment that makes a mail larger than the server's SIZE fails that row alone, before DATA."""
    with environment(tmp_path, 2, smtp=SmtpScript(size=100_000), more=OWN) as env:
        fill(tmp_path, 0)
        (tmp_path / "invoices/user_1.pdf").write_bytes(b"x" * 90_000)
        assert env.work.run().returncode == 1
        assert env.mailed == ["u0@d0.example"]
        (row,) = (row for row in env.work.rows() if row["state"] == "failed")
        assert "the server accepts at most 100000" in row["reason"]
        assert len(env.revoked) == 1


def test_a_file_for_all_that_is_missing_stops_the_run(tmp_path: Path) -> None:
    """Without the file of every mail, or with one that is none, nothing begins, and the line is named."""
    with environment(tmp_path, 2, more=SHARED) as env:
        assert "campaign.toml:" in refused(env.work.run())
        os.mkfifo(tmp_path / "terms.pdf")
        assert "terms.pdf: Only a regular file can be attached" in refused(env.work.run())
        assert env.silent
