"""Settings: valid values from the environment and `.env`, or an error message without any secret."""

from __future__ import annotations

import traceback
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.config.imap_url import ImapServer, parse_imap_url
from campaign.config.postgres_url import PostgresUrl
from campaign.config.settings import Settings, SmtpServer, Tls, is_loopback, load_settings, parse_smtp_url
from campaign.errors import SettingsError

NAMES = [
    "CLERK_SECRET_KEY",
    "CLERK_API_URL",
    "CLERK_PUBLISHABLE_KEY",
    "CAMPAIGN_SMTP_URL",
    "CAMPAIGN_IMAP_URL",
    "CAMPAIGN_LOG",
    "CAMPAIGN_DKIM_KEY",
    "CAMPAIGN_RECHECK_KEY",
    "CAMPAIGN_SANDBOX",
    "CAMPAIGN_REPLY_TIMEOUT",
    "CAMPAIGN_EHLO",
    "CLERK_SECRET_KEY_FILE",
    "CAMPAIGN_SMTP_PASSWORD_FILE",
    "CAMPAIGN_SMTP_TOKEN_COMMAND",
    "PGPASSWORD",
    "PGPASSFILE",
]


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Change to an empty folder with none of the variables set."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal() -> str:
    """Return the error that the settings raise, with everything that a traceback could show of it."""
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert refused.value.__context__ is None
    shown = "".join(traceback.format_exception(refused.value))
    assert "ValidationError" not in shown
    return str(refused.value)


def test_nothing_needs_to_be_set() -> None:
    """Without any variable the defaults apply: no key, no mail server, and Clerk's own address."""
    found = load_settings()
    assert found.clerk_secret_key is None
    assert found.clerk_publishable_key is None
    assert found.smtp is None
    assert found.imap is None
    assert found.dkim_key is None
    assert found.clerk_api_url == "https://api.clerk.com"
    assert (found.log, str(found.sandbox), found.dotenv) == (None, ".campaign", None)
    assert found.reply_timeout == timedelta(minutes=10)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable sets its field."""
    monkeypatch.setenv("CLERK_SECRET_KEY", "sk_test_abc")
    monkeypatch.setenv("CLERK_API_URL", "https://clerk.acme.example/v1/")
    monkeypatch.setenv("CLERK_PUBLISHABLE_KEY", "pk_test_abc")
    monkeypatch.setenv("CAMPAIGN_SMTP_URL", "smtps://ann:pass@smtp.acme.example")
    monkeypatch.setenv("CAMPAIGN_IMAP_URL", "imaps://bob:pass@imap.acme.example/Bounces")
    monkeypatch.setenv("CAMPAIGN_LOG", "logs/send.db")
    monkeypatch.setenv("CAMPAIGN_DKIM_KEY", "keys/dkim.pem")
    monkeypatch.setenv("CAMPAIGN_RECHECK_KEY", "0123456789abcdef" * 4)
    monkeypatch.setenv("CAMPAIGN_SANDBOX", "box")
    monkeypatch.setenv("CAMPAIGN_REPLY_TIMEOUT", "90s")
    found = load_settings()
    assert found.clerk_secret_key is not None
    assert found.clerk_secret_key.get_secret_value() == "sk_test_abc"
    assert found.clerk_api_url == "https://clerk.acme.example"
    assert found.clerk_publishable_key == "pk_test_abc"
    assert found.smtp == SmtpServer("smtp.acme.example", 465, "ann", "pass", Tls.IMPLICIT)
    assert found.imap == ImapServer("imap.acme.example", 993, "bob", "pass", "Bounces", tls=True)
    assert (str(found.log), str(found.sandbox)) == ("logs/send.db", "box")
    assert str(found.dkim_key) == "keys/dkim.pem"
    assert found.recheck_key is not None
    assert found.recheck_key.get_secret_value() == "0123456789abcdef" * 4
    assert found.reply_timeout == timedelta(seconds=90)


def test_dotenv_is_read_and_the_environment_wins(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable in `.env` applies unless the environment sets it, and variables of other programs are ignored."""
    (empty / ".env").write_text(
        "\ufeffCLERK_SECRET_KEY=sk_test_file\nCAMPAIGN_LOG=file.db\nDATABASE_URL=postgres://x\nCAMPAIGN_SMTP_URL=\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("CAMPAIGN_LOG", "environment.db")
    found = load_settings()
    assert found.clerk_secret_key is not None
    assert found.clerk_secret_key.get_secret_value() == "sk_test_file"
    assert str(found.log) == "environment.db"
    assert found.smtp is None


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An empty variable counts as not set, so its default applies."""
    monkeypatch.setenv(name, "")
    assert load_settings() == Settings()


def test_a_dotenv_that_is_no_text_is_refused(empty: Path) -> None:
    """A `.env` in another encoding is refused with a message that names the file and shows none of its content."""
    (empty / ".env").write_bytes(b"CLERK_SECRET_KEY=sk_test_hidden\xff\n")
    sentence = refusal()
    assert ".env" in sentence
    assert "hidden" not in sentence


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CLERK_SECRET_KEY", "hunter2", "sk_live_ or sk_test_"),
        ("CLERK_SECRET_KEY", "sk_test_", "sk_live_ or sk_test_"),
        ("CLERK_SECRET_KEY", "pk_test_hunter2", "sk_live_ or sk_test_"),
        ("CLERK_SECRET_KEY", "sk_test_hunter2 ", "space"),
        ("CLERK_SECRET_KEY", "sk_test_hunter2\r", "space or a character"),
        ("CLERK_SECRET_KEY", "sk_test_hunter2\u00a0", "space or a character"),
        ("CLERK_PUBLISHABLE_KEY", "sk_live_hunter2", "pk_live_ or pk_test_"),
        ("CLERK_API_URL", "http://api.clerk.example", "https://"),
        ("CLERK_API_URL", "http://localhost.example", "https://"),
        ("CLERK_API_URL", "api.clerk.com", "https://"),
        ("CLERK_API_URL", "ftp://api.clerk.example", "https://"),
        ("CLERK_API_URL", "https://", "host"),
        ("CLERK_API_URL", "https://[::1", "https://"),
        ("CLERK_API_URL", "https://ann:hunter2@api.clerk.example", "cannot contain a user"),
        ("CLERK_API_URL", "https://ann:hunter2@\u2100.example", "https://"),
        ("CLERK_API_URL", "https://api.clerk.example/v1?key=hunter2", "query"),
        ("CLERK_API_URL", "https://api.clerk.example/v1#", "query"),
        ("CLERK_API_URL", "https://api.clerk.example/v2", "/v1"),
        ("CLERK_API_URL", "https://api.clerk.example:0", "port"),
        ("CLERK_API_URL", "https://api.clerk.example:port", "port"),
        ("CLERK_API_URL", "https://api.clerk.example\\@eve.example", "character"),
        ("CLERK_API_URL", "https://api.clerk.example\n", "character"),
        ("CAMPAIGN_REPLY_TIMEOUT", "ten minutes", '"10m"'),
        ("CAMPAIGN_REPLY_TIMEOUT", "0s", '"10m"'),
        ("CAMPAIGN_REPLY_TIMEOUT", "2h", '"1h"'),
        ("CAMPAIGN_SMTP_URL", "https://ann:hunter2@smtp.acme.example", "smtp://"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@", "host is missing"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@smtp.acme.example:x", "port"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@smtp.acme.example:65536", "port"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@smtp.acme.example:", "port"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@::1", "[ ]"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@[::x]", "smtp://"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@[::1", "smtp://"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@\u2100.example", "smtp://"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@smtp.acme.exämple", "ASCII"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter/2@smtp.acme.example", "%2F"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter#2@smtp.acme.example", "%23"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2%@smtp.acme.example", "%25"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2%zz@smtp.acme.example", "%25"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2%ff@smtp.acme.example", "UTF-8"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2%0D%0A@smtp.acme.example", "control character"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2%00@smtp.acme.example", "control character"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@smtp.acme.example\r\n", "control character"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter 2@smtp.acme.example", "space"),
        ("CAMPAIGN_SMTP_URL", "smtp://hunter2@smtp.acme.example", "user and a password"),
        ("CAMPAIGN_SMTP_URL", "smtp://:hunter2@smtp.acme.example", "user and a password"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@smtp.acme.example?tls=none", "tls=none"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@localhost.example?tls=none", "localhost"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@127.1?tls=none", "127.0.0.0/8"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@[::ffff:127.0.0.1]?tls=none", "[::1]"),
        ("CAMPAIGN_SMTP_URL", "smtps://ann:hunter2@localhost?tls=none", "contradict"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@localhost?tls=off", "tls=none"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@localhost?timeout=5", "tls=none"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@localhost?tls=none&verify=no", "tls=none"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@localhost?&", "tls=none"),
        ("CAMPAIGN_IMAP_URL", "imap.acme.example", "imap:// or imaps://"),
        ("CAMPAIGN_IMAP_URL", "pop3://ann:hunter2@imap.acme.example", "imap:// or imaps://"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter 2@imap.acme.example", "space"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter2@", "host is missing"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter2@imap.acme.example:0/INBOX", "port"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter/2@imap.acme.example", "%2F"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter#2@imap.acme.example", "%23"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter?2@imap.acme.example", "%3F"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter2%@imap.acme.example", "%25"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter2%0D%0A@imap.acme.example", "control character"),
        ("CAMPAIGN_IMAP_URL", "imaps://imap.acme.example/INBOX", "user and the password are missing"),
        ("CAMPAIGN_IMAP_URL", "imaps://hunter2@imap.acme.example/INBOX", "user and a password"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter2@imap.acme.example/%0A", "control character"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter2@imap.acme.example/%FF", "UTF-8"),
        ("CAMPAIGN_IMAP_URL", "imaps://ann:hunter2@imap.acme.example/INBOX?tls=none", "%3F"),
        ("CAMPAIGN_IMAP_URL", "imap://ann:hunter2@imap.acme.example/INBOX", "write imaps://"),
        ("CAMPAIGN_IMAP_URL", "imap://ann:hunter2@localhost.example/INBOX", "write imaps://"),
        ("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@smtp.acme.example:465", "write smtps:// there, or port 587"),
        ("CAMPAIGN_SMTP_URL", "smtps://ann:hunter2@smtp.acme.example:587", "write smtp:// there, or port 465"),
        ("CAMPAIGN_SMTP_URL", "smtps://ann:hunter2@smtp.acme.example:25", "write smtp:// there, or port 465"),
        ("CAMPAIGN_EHLO", "hunter2 example", "mail.example.com"),
        ("CAMPAIGN_EHLO", "hunter2.exämple", "mail.example.com"),
        ("CAMPAIGN_EHLO", "[hunter2]", "[192.0.2.1]"),
        ("CAMPAIGN_EHLO", "[999.0.0.1]", "[192.0.2.1]"),
        ("CAMPAIGN_EHLO", "mail.example.com\r\nMAIL", "mail.example.com"),
        ("CAMPAIGN_SMTP_TOKEN_COMMAND", "hunter2 'open", "not a command line"),
        ("CAMPAIGN_SMTP_TOKEN_COMMAND", "  ", "prints an access token"),
        ("CAMPAIGN_RECHECK_KEY", "hunter2", "at least 32 characters"),
        ("CAMPAIGN_RECHECK_KEY", f"hunter2 {'a' * 32}", "without blanks; type openssl rand -hex 32"),
        ("CLERK_SECRET_KEY_FILE", "hunter2", "cannot be read: No such file"),
        ("CAMPAIGN_SMTP_PASSWORD_FILE", "hunter2", "cannot be read: No such file"),
    ],
)
def test_a_wrong_value_is_told_without_it(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    """A wrong value is refused with one line that names the variable and what to write, and contains no secret."""
    monkeypatch.setenv(name, value)
    sentence = refusal()
    assert sentence.startswith(f"{name}: ")
    assert sentence.endswith(".")
    assert words in sentence
    assert "hunter" not in sentence
    assert "ann:" not in sentence.replace("user:password", "")


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All wrong variables are reported at once, one line each."""
    for name in ("CLERK_SECRET_KEY", "CAMPAIGN_SMTP_URL", "CLERK_API_URL"):
        monkeypatch.setenv(name, "wrong")
    assert len(refusal().splitlines()) == 3


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.clerk.com", "https://api.clerk.com"),
        ("https://API.Clerk.com:8443/v1", "https://api.clerk.com:8443"),
        ("http://localhost:9000/v1/", "http://localhost:9000"),
        ("http://127.1.2.3:9000", "http://127.1.2.3:9000"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
        ("https://[2001:DB8::1]/v1", "https://[2001:db8::1]"),
    ],
)
def test_clerks_address_is_an_origin(url: str, origin: str) -> None:
    """Clerk's address is reduced to scheme, host and port, and plain http is allowed only for this machine."""
    assert Settings(clerk_api_url=url).clerk_api_url == origin


@pytest.mark.parametrize(
    ("url", "server", "label"),
    [
        ("smtp://h.example", SmtpServer("h.example", 587, None, None, Tls.STARTTLS), "h.example:587"),
        ("smtps://H.Example/", SmtpServer("h.example", 465, None, None, Tls.IMPLICIT), "h.example:465"),
        (
            "smtp://a%40b.example:p%3A%2F%25%C3%A9@h.example:2525",
            SmtpServer("h.example", 2525, "a@b.example", "p:/%é", Tls.STARTTLS),
            "h.example:2525",
        ),
        ("smtp://a:p:q@h.example", SmtpServer("h.example", 587, "a", "p:q", Tls.STARTTLS), "h.example:587"),
        ("smtp://a:p@q@h.example", SmtpServer("h.example", 587, "a", "p@q", Tls.STARTTLS), "h.example:587"),
        ("smtp://127.0.0.1:465?tls=none", SmtpServer("127.0.0.1", 465, None, None, Tls.NONE), "127.0.0.1:465"),
        ("smtps://h.example:2465", SmtpServer("h.example", 2465, None, None, Tls.IMPLICIT), "h.example:2465"),
        ("smtp://[::1]:25?tls=none", SmtpServer("::1", 25, None, None, Tls.NONE), "[::1]:25"),
        ("smtp://localhost:25/?tls=none", SmtpServer("localhost", 25, None, None, Tls.NONE), "localhost:25"),
        ("smtp://127.9.9.9?tls=none", SmtpServer("127.9.9.9", 587, None, None, Tls.NONE), "127.9.9.9:587"),
    ],
)
def test_a_mail_server_is_read_out_of_its_url(url: str, server: SmtpServer, label: str) -> None:
    """The URL contains host, port, login and encryption; the label shows only host and port."""
    assert parse_smtp_url(url) == server
    assert server.label == label


@pytest.mark.parametrize(
    ("url", "server", "label"),
    [
        ("imaps://a:b@H.Example", ImapServer("h.example", 993, "a", "b", "INBOX", tls=True), "h.example:993"),
        (
            "imaps://a%40b.example:p%3A%2F%25%C3%A9@h.example:9930/Bounces%20of/M%C3%A4rz",
            ImapServer("h.example", 9930, "a@b.example", "p:/%é", "Bounces of/März", tls=True),
            "h.example:9930",
        ),
        ("imap://a:b@[::1]/x", ImapServer("::1", 143, "a", "b", "x", tls=False), "[::1]:143"),
        ("imap://a:b@127.0.0.1:1143/", ImapServer("127.0.0.1", 1143, "a", "b", "INBOX", tls=False), "127.0.0.1:1143"),
    ],
)
def test_a_mailbox_is_read_out_of_its_url(url: str, server: ImapServer, label: str) -> None:
    """The URL contains host, port, login, mailbox and encryption; label and repr show no password."""
    assert parse_imap_url(url) == server
    assert server.label == label
    assert "password" not in repr(server)


@given(st.text() | st.from_regex(r"imaps?://\S*"))
def test_any_imap_url_is_read_or_refused(url: str) -> None:
    """Any text is either read as a mailbox's URL or refused with a ValueError."""
    try:
        server = parse_imap_url(url)
    except ValueError:
        return
    assert 0 < server.port < 65536
    assert server.tls or is_loopback(server.host)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1).filter(str.isprintable))
def test_any_password_can_be_written(password: str) -> None:
    """A percent-encoded password is decoded, and no representation of the server shows it."""
    written = "".join(f"%{byte:02X}" for byte in password.encode())
    server = parse_smtp_url(f"smtp://ann:{written}@h.example")
    assert server.password == password
    assert repr(server) == repr(parse_smtp_url("smtp://ann:x@h.example"))


@given(st.text() | st.from_regex(r"smtps?://\S*"))
def test_any_url_is_read_or_refused(url: str) -> None:
    """Any text is either read as a mail server's URL or refused with a ValueError."""
    try:
        server = parse_smtp_url(url)
    except ValueError:
        return
    assert 0 < server.port < 65536
    assert server.tls is not Tls.NONE or is_loopback(server.host)


@pytest.mark.parametrize("name", ["mail.acme.example", "box", "[192.0.2.1]", "[IPv6:2001:db8::1]"])
def test_the_name_for_ehlo_is_kept_as_it_is_written(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A host name or an address literal is the name for EHLO."""
    monkeypatch.setenv("CAMPAIGN_EHLO", name)
    assert load_settings().ehlo == name


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_secrets_are_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str) -> None:
    """The key and the password may each be in a file, whose last line end is no part of it."""
    (tmp_path / "key").write_text(f"sk_test_abc{end}", newline="")
    (tmp_path / "password").write_text(f" p@ss/ü{end}", encoding="utf-8", newline="")
    monkeypatch.setenv("CLERK_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("CAMPAIGN_SMTP_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("CAMPAIGN_SMTP_URL", "smtp://ann@smtp.acme.example")
    found = load_settings()
    assert found.clerk_secret_key is not None
    assert found.clerk_secret_key.get_secret_value() == "sk_test_abc"
    assert found.smtp == SmtpServer("smtp.acme.example", 587, "ann", " p@ss/ü", Tls.STARTTLS)
    assert "p@ss" not in f"{found!r} {found}"


def test_a_token_command_belongs_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command for an access token is kept with the user of the URL, and is not shown."""
    monkeypatch.setenv("CAMPAIGN_SMTP_URL", "smtp://ann@smtp.acme.example")
    monkeypatch.setenv("CAMPAIGN_SMTP_TOKEN_COMMAND", "print-token --for 'ann b'")
    found = load_settings()
    assert found.smtp is not None
    assert found.smtp.token_command == "print-token --for 'ann b'"
    assert found.smtp.password is None
    assert "print-token" not in repr(found.smtp)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"CLERK_SECRET_KEY": "sk_test_a", "CLERK_SECRET_KEY_FILE": "key"},
         "CLERK_SECRET_KEY_FILE: CLERK_SECRET_KEY is set, too; unset one of the two."),
        ({"CLERK_SECRET_KEY_FILE": "password"}, "CLERK_SECRET_KEY_FILE: Clerk's secret key must begin with sk_live_"),
        ({"CLERK_SECRET_KEY_FILE": "lines"}, "CLERK_SECRET_KEY_FILE: the file is empty, too long or has several lines"),
        ({"CLERK_SECRET_KEY_FILE": "open"}, "CLERK_SECRET_KEY_FILE: every user of this machine may write the file"),
        ({"CAMPAIGN_SMTP_URL": "smtp://ann@h.example"}, "CAMPAIGN_SMTP_URL: give a user and a password, or neither"),
        ({"CAMPAIGN_SMTP_URL": "smtp://ann:pw@h.example", "CAMPAIGN_SMTP_PASSWORD_FILE": "password"},
         "CAMPAIGN_SMTP_URL: give the password once"),
        ({"CAMPAIGN_SMTP_URL": "smtp://ann@h.example", "CAMPAIGN_SMTP_PASSWORD_FILE": "password",
          "CAMPAIGN_SMTP_TOKEN_COMMAND": "true"}, "CAMPAIGN_SMTP_URL: give the password once"),
        ({"CAMPAIGN_SMTP_URL": "smtp://h.example", "CAMPAIGN_SMTP_TOKEN_COMMAND": "true"},
         "CAMPAIGN_SMTP_URL: give a user and a password, or neither"),
        ({"CAMPAIGN_SMTP_PASSWORD_FILE": "password"}, "CAMPAIGN_SMTP_URL: it is not set, but a password or token"),
    ],
    ids=str,
)  # fmt: skip
def test_secrets_that_do_not_fit_together(
    empty: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    """A secret given twice, alone or in a file that cannot be trusted is refused, without a word of it."""
    for name, text in (("key", "sk_test_hidden"), ("password", "hidden"), ("lines", "sk_test_a\nhidden"),
                       ("open", "sk_test_hidden")):  # fmt: skip
        (empty / name).write_text(text, encoding="utf-8")
    (empty / "open").chmod(0o666)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = refusal()
    assert found.startswith(sentence)
    assert len(found.splitlines()) == 1
    assert "hidden" not in found


@pytest.mark.parametrize(
    "name", ["CLERK_SECRET_KEY_FILE", "CAMPAIGN_SMTP_PASSWORD_FILE", "CAMPAIGN_SMTP_TOKEN_COMMAND"]
)
def test_a_dotenv_runs_nothing_and_reads_no_file(empty: Path, name: str) -> None:
    """A `.env` of the working folder, which may be another person's, names neither a command nor a secret's file."""
    (empty / ".env").write_text(f"CAMPAIGN_SMTP_URL=smtp://ann@h.example\n{name}=value\n", encoding="utf-8")
    assert refusal().startswith(f"{name}: set it in the environment, not in .env: ")


def test_a_password_of_the_environment_goes_nowhere_that_a_file_names(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.env` cannot redirect the password of a file, or the token of a command, that the environment names."""
    (empty / ".env").write_text("CAMPAIGN_SMTP_URL=smtp://ann@collector.example\n", encoding="utf-8")
    monkeypatch.setenv("CAMPAIGN_SMTP_TOKEN_COMMAND", "print-token")
    assert refusal().startswith("CAMPAIGN_SMTP_URL: it is from .env, and CAMPAIGN_SMTP_TOKEN_COMMAND is from the")


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """No representation of the settings shows a key or a password."""
    monkeypatch.setenv("CAMPAIGN_RECHECK_KEY", "hunter2" * 5)
    monkeypatch.setenv("CLERK_SECRET_KEY", "sk_live_hunter2")
    monkeypatch.setenv("CAMPAIGN_SMTP_URL", "smtp://ann:hunter2@smtp.acme.example")
    monkeypatch.setenv("CAMPAIGN_IMAP_URL", "imaps://ann:hunter2@imap.acme.example")
    found = load_settings()
    assert "hunter2" not in f"{found!r} {found}"


def test_only_this_machine_is_loopback() -> None:
    """Only hosts that need no name resolution count as loopback."""
    assert all(map(is_loopback, ("localhost", "LOCALHOST", "127.0.0.1", "127.255.0.9", "::1", "[::1]")))
    assert not any(
        map(is_loopback, ("", "localhost.", "a.localhost", "127.1", "0.0.0.1", "10.0.0.1", "::", "2130706433"))
    )


@pytest.mark.parametrize("name", ["CLERK_SECRET_KEY", "clerk_secret_key"])
def test_a_key_of_the_environment_goes_nowhere_that_a_file_names(
    name: str, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.env` that lies in the working folder cannot redirect the secret key of the environment."""
    monkeypatch.setenv(name, "sk_test_hidden")
    (empty / ".env").write_text("CLERK_API_URL=https://collector.example\n", encoding="utf-8")
    sentence = refusal()
    assert sentence.startswith("CLERK_API_URL: it is from .env, and CLERK_SECRET_KEY is from the environment.")
    assert "hidden" not in sentence


def test_a_key_goes_where_a_source_as_trusted_says(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and URL may both be in `.env`, and the environment may name the URL for a key of `.env`."""
    (empty / ".env").write_text("CLERK_SECRET_KEY=sk_test_a\nCLERK_API_URL=https://clerk.acme.example\n", "utf-8")
    assert load_settings().clerk_api_url == "https://clerk.acme.example"
    monkeypatch.setenv("CLERK_API_URL", "https://other.example")
    assert load_settings().clerk_api_url == "https://other.example"
    monkeypatch.setenv("CLERK_SECRET_KEY", "sk_test_b")
    assert load_settings().clerk_api_url == "https://other.example"


def test_a_dotenv_that_others_may_write_is_refused(empty: Path) -> None:
    """A `.env` that every user may write decides nothing; the error says what to type."""
    (empty / ".env").write_text("CAMPAIGN_LOG=a.db\n", encoding="utf-8")
    (empty / ".env").chmod(0o666)
    assert refusal() == ".env can be written by every user of this machine; type: chmod 600 .env"
    (empty / ".env").chmod(0o644)
    assert str(load_settings().log) == "a.db"


def test_the_log_lies_beside_the_campaign_file(empty: Path) -> None:
    """The default log depends on the campaign file alone, also for a file that is a symbolic link to another."""
    (empty / "mine").mkdir()
    (empty / "mine" / "campaign.toml").touch()
    (empty / "link.toml").symlink_to("mine/campaign.toml")
    found = load_settings()
    assert str(found.log_of(Path("mine/campaign.toml"))) == "mine/send-log.db"
    assert found.log_of(Path("link.toml")) == empty.resolve() / "mine" / "send-log.db"
    assert str(found.log_of(Path("campaign.toml"))) == str(found.log_of(None)) == "send-log.db"
    assert str(Settings(log=Path("other.db")).log_of(Path("mine/campaign.toml"))) == "other.db"


def test_the_log_may_be_in_a_database(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL of PostgreSQL is the log of every campaign file, also in `.env`, and its password is in no text."""
    (empty / ".env").write_text("CAMPAIGN_LOG=postgresql://ann:hunter2@db.example.com/campaigns\n", "utf-8")
    found = load_settings()
    assert isinstance(found.log, PostgresUrl)
    assert found.log_of(Path("mine/campaign.toml")) == found.log
    assert "hunter2" not in repr(found) + str(found.log)
    monkeypatch.setenv("PGPASSWORD", "hunter3")
    assert load_settings().log == found.log, "the URL has a password of its own"
    monkeypatch.setenv("CAMPAIGN_LOG", "mysql://ann:hunter2@db.example.com/x")
    assert refusal() == ("CAMPAIGN_LOG: write the path of a file, or postgresql://user:password@host/database.")


def test_a_dotenv_does_not_send_a_database_password_elsewhere(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL in `.env` gets no password of the environment or of a file; one in the environment does."""
    (empty / ".env").write_text("CAMPAIGN_LOG=postgresql://ann@db.example.com/campaigns\n", "utf-8")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    assert "CAMPAIGN_LOG: it is from .env, and PGPASSWORD is from the environment" in refusal()
    monkeypatch.setenv("CAMPAIGN_LOG", "postgresql://ann@db.example.com/campaigns?passfile=/home/ann/.pgpass")
    assert isinstance(load_settings().log, PostgresUrl)
    monkeypatch.delenv("CAMPAIGN_LOG")
    monkeypatch.delenv("PGPASSWORD")
    (empty / ".env").write_text("CAMPAIGN_LOG=postgresql://ann@db.example.com/a?passfile=/home/ann/.pgpass\n", "utf-8")
    assert "CAMPAIGN_LOG: set it in the environment, not in .env" in refusal()


def test_dotenv_is_that_of_the_campaign_file_or_else_of_the_folder(empty: Path) -> None:
    """`.env` is read beside the campaign file; only if there is none, that of the current folder counts."""
    (empty / "mine").mkdir()
    (empty / ".env").write_text("CAMPAIGN_LOG=here.db\nCAMPAIGN_SANDBOX=box\n", "utf-8")
    file = Path("mine/campaign.toml")
    assert (load_settings(file).dotenv, load_settings(file).log) == (Path(".env"), Path("here.db"))
    (empty / "mine" / ".env").write_text("CAMPAIGN_LOG=there.db\n", "utf-8")
    found = load_settings(file)
    assert (found.dotenv, found.log, found.sandbox) == (Path("mine/.env"), Path("mine/there.db"), Path(".campaign"))
    assert load_settings().log == Path("here.db")


def test_a_relative_path_is_relative_to_where_it_is_written(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each path of `.env` is relative to its folder, and one of the environment to the current folder."""
    (empty / "mine").mkdir()
    lines = ("CAMPAIGN_LOG=a.db", "CAMPAIGN_DKIM_KEY=dkim.pem", "CAMPAIGN_SANDBOX=/var/box")
    (empty / "mine" / ".env").write_text("\n".join(lines), "utf-8")
    found = load_settings(Path("mine/campaign.toml"))
    assert [str(path) for path in (found.log, found.dkim_key, found.sandbox)] == [
        "mine/a.db",
        "mine/dkim.pem",
        "/var/box",
    ]
    monkeypatch.setenv("CAMPAIGN_LOG", "b.db")
    assert str(load_settings(Path("mine/campaign.toml")).log) == "b.db"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CAMPAIGN_SMPT_URL", "CAMPAIGN_SMTP_URL"),
        ("CAMPAIGN_SMTP", "CAMPAIGN_SMTP_URL"),
        ("campaign_logs", "CAMPAIGN_LOG"),
        ("CAMPAIGN_DKIM", "CAMPAIGN_DKIM_KEY"),
        ("CLERK_SECRET", "CLERK_SECRET_KEY"),
        ("CLERK_SECERT_KEY", "CLERK_SECRET_KEY"),
        ("CLERK_PUBLISHABEL_KEY", "CLERK_PUBLISHABLE_KEY"),
    ],
)
def test_a_misspelt_variable_is_told(empty: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    """A variable whose name is almost that of a setting is refused, with its place and the right name."""
    monkeypatch.setenv(name, "sk_test_hidden")
    sentence = f"is not a setting; did you mean {meant}? Rename it, or remove it."
    assert refusal() == f"{name.upper()} in the environment {sentence}"
    monkeypatch.delenv(name)
    (empty / ".env").write_text(f"{name}=sk_test_hidden\n", encoding="utf-8")
    assert refusal() == f"{name.upper()} in .env {sentence}"


@pytest.mark.parametrize(
    "name",
    [
        "CAMPAIGN_ID",
        "CLERK_API_KEY",
        "CLERK_API_VERSION",
        "CLERK_DOMAIN",
        "CLERK_ENCRYPTION_KEY",
        "CLERK_IS_SATELLITE",
        "CLERK_JS_URL",
        "CLERK_JWT_KEY",
        "CLERK_MACHINE_SECRET_KEY",
        "CLERK_PROXY_URL",
        "CLERK_SIGN_IN_URL",
        "CLERK_WEBHOOK_SIGNING_SECRET",
        "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY",
    ],
)
def test_a_variable_of_another_program_is_not_misspelt(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The variables of Clerk's own libraries, and others with our prefix, are left alone."""
    monkeypatch.setenv(name, "x")
    assert load_settings() == Settings()
