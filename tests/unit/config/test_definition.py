"""The campaign file: its defaults and rules; all problems are reported at once, each with its line."""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.config.definition import Definition, load_definition
from campaign.config.definition.rules import mailbox
from campaign.config.definition.sections import LinkSection, RecipientsSection
from campaign.errors import DefinitionError
from campaign.model import Rate

MINIMAL = """\
name = "waitlist-welcome"

[recipients]
file = "people.csv"

[email]
from = "Acme <hello@acme.example>"
subject = "You're in, {{ first_name }}"
html = "email.html"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that contains a template."""
    (tmp_path / "email.html").write_text("<p>Hello</p>")
    return tmp_path


def load(folder: Path, text: str, *, recipients: Path | None = None) -> Definition:
    """Load a campaign file with this text and return the campaign."""
    path = folder / "campaign.toml"
    path.write_text(text, encoding="utf-8")
    return load_definition(path, recipients=recipients)


def problems(folder: Path, text: str) -> list[tuple[int, str]]:
    """Return the line and the message of each problem in a file."""
    with pytest.raises(DefinitionError) as refused:
        load(folder, text)
    assert refused.value.__context__ is None
    found = []
    for line in str(refused.value).splitlines():
        match = re.fullmatch(rf"{re.escape(str(folder))}/campaign\.toml(?::(\d+))?: (.*[.?])", line)
        assert match, line
        found.append((int(match[1] or 0), match[2]))
    return found


def test_a_minimal_file_has_defaults_for_the_rest(folder: Path) -> None:
    """A file with only name, CSV, sender, subject and HTML is valid; every other key has its documented default."""
    found = load(folder, MINIMAL)
    assert (found.name, found.path, found.folder) == ("waitlist-welcome", folder / "campaign.toml", folder)
    section = found.recipients
    assert (section.file, section.key) == (folder / "people.csv", "user_id")
    assert (section.group, section.lookup, section.verify_address) == (None, None, True)
    email = found.email
    assert (email.sender, email.reply_to) == ("Acme <hello@acme.example>", None)
    assert (email.subject, email.html, email.text) == ("You're in, {{ first_name }}", folder / "email.html", None)
    assert found.link is None
    assert (found.limits.messages, found.limits.tokens) == ((), None)
    assert (found.limits.connections, dict(found.limits.domains)) == (10, {})
    assert (found.retry.attempts, found.retry.first_delay) == (5, timedelta(seconds=30))


def test_a_full_file_is_read(folder: Path) -> None:
    """Every key of the file is read and converted to its type."""
    (folder / "parts").mkdir()
    (folder / "parts" / "email.txt").write_text("Hello")
    found = load(
        folder,
        """
        name = "carts"
        recipients = { file = "../people.csv", key = "cart_id", group = "items", verify_address = false }
        [email]
        from = 'hello@Acme.example'
        reply_to = '"Acme, Inc." <help@bücher.example>'
        subject = "Cart"
        html = "./email.html"
        text = "parts/email.txt"
        [link]
        url = "https://Acme.example:8443/cart/{{ cart_id }}?from=mail"
        parameter = "ticket"
        expires_in = "1h 30m"
        [limits]
        messages = ["14/second", "50000/day"]
        tokens = "1000/10 seconds"
        connections = 3
        [limits.domains]
        "GMail.com" = "5/second"
        "bücher.example" = ["1/second", "100/hour"]
        [retry]
        attempts = 2
        first_delay = "2m"
        """,
    )
    assert found.recipients.file == folder.parent / "people.csv"
    assert (found.recipients.key, found.recipients.group, found.recipients.verify_address) == (
        "cart_id",
        "items",
        False,
    )
    assert found.email.sender == "hello@acme.example"
    assert found.email.reply_to == '"Acme, Inc." <help@xn--bcher-kva.example>'
    assert found.email.text is not None
    assert found.template_name(found.email.html) == "email.html"
    assert found.template_name(found.email.text) == "parts/email.txt"
    assert found.link == LinkSection(
        url="https://Acme.example:8443/cart/{{ cart_id }}?from=mail",
        parameter="ticket",
        expires_in=timedelta(minutes=90),
        hosts=("acme.example:8443",),
    )
    assert found.limits.messages == (Rate.parse("14/second"), Rate.parse("50000/day"))
    assert found.limits.tokens == (Rate.parse("1000/10 seconds"),)
    assert found.limits.connections == 3
    assert found.limits.domains == {
        "gmail.com": (Rate.parse("5/second"),),
        "xn--bcher-kva.example": (Rate.parse("1/second"), Rate.parse("100/hour")),
    }
    assert (found.retry.attempts, found.retry.first_delay) == (2, timedelta(minutes=2))


def test_all_problems_are_told_at_once_with_their_lines(folder: Path) -> None:
    """All problems of a file are reported at once, one line each, in the order of the file."""
    found = problems(
        folder,
        """\
nmae = "x"
[recipients]
file = "people.csv"
kye = "user_id"
[email]
sender = "Acme"
subject = '''
html = "no entry, but text"
'''
html = "missing.html"
[link]
url = "http://acme.example"
expires_in = 48
hosts = "acme.example"
[limits]
messages = "14 per second"
connections = "10"
domains."gmail.com" = 5
[retry]
attempts = 0
[recipient]
""",
    )
    expected = [
        (0, 'name is missing; add name = "waitlist-welcome" at the top.'),
        (1, 'unknown key "nmae" in a campaign file; did you mean "name"?'),
        (4, 'unknown key "kye" in [recipients]; did you mean "key"?'),
        (5, '[email] from is missing; add from = "Acme <hello@acme.example>".'),
        (
            6,
            (
                'unknown key "sender" in [email]; '
                "the possible keys are from, reply_to, bounces, subject, html, text, attachments."
            ),
        ),
        (7, "[email] subject: must be one line of text, and not empty."),
        (10, f"[email] html: the template {folder}/missing.html does not exist; create it, or correct the name."),
        (12, "[link] url: "),
        (13, "[link] expires_in: must be a duration in quotes"),
        (14, "[link] hosts: must be a list"),
        (16, "[limits] messages: '14 per second' is not a rate"),
        (17, "[limits] connections: must be a whole number"),
        (18, "[limits.domains] gmail.com: must be a rate"),
        (20, "[retry] attempts: must be from 1 to 100."),
        (21, 'unknown key "recipient" in a campaign file; did you mean "recipients"?'),
    ]
    assert [line for line, _ in found] == [line for line, _ in expected]
    assert [text for (_, text), (_, begin) in zip(found, expected, strict=True) if not text.startswith(begin)] == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "section [recipients]"),
        (MINIMAL.replace("waitlist-welcome", ""), 1, "must be 1 to 100"),
        (MINIMAL.replace("waitlist-welcome", "wait list"), 1, "must be 1 to 100"),
        (MINIMAL.replace("waitlist-welcome", "a..b"), 1, "must be 1 to 100"),
        (MINIMAL.replace("waitlist-welcome", "é"), 1, "must be 1 to 100"),
        (MINIMAL.replace("waitlist-welcome", "a" * 101), 1, "must be 1 to 100"),
        (MINIMAL.replace('"waitlist-welcome"', "7"), 1, "text in quotes"),
        (MINIMAL.replace('"people.csv"', "7"), 4, "path in quotes"),
        (MINIMAL.replace('"people.csv"', '""'), 4, "path of a file"),
        (MINIMAL.replace("people.csv", 'people.csv"\nkey = "'), 5, "name of a column"),
        (MINIMAL.replace("people.csv", 'people.csv"\ngroup = "my items'), 5, "name that a template can use"),
        (MINIMAL.replace("people.csv", 'people.csv"\ngroup = "link_to'), 5, "name that a template can use"),
        (MINIMAL.replace("people.csv", 'people.csv"\nlookup = "phone'), 5, "can only be 'email'"),
        (MINIMAL.replace("people.csv", 'people.csv"\nkey = "user_id"\nlookup = "email'), 6, 'key = "email"'),
        (MINIMAL.replace("file =", "verify_address = 1\nfile ="), 4, 'true, false or "any"'),
        (MINIMAL.replace("file =", 'verify_address = "all"\nfile ='), 4, 'true, false or "any"'),
        (MINIMAL.replace("Acme <hello@acme.example>", "Acme, Inc <hello@acme.example>"), 7, "one address"),
        (MINIMAL.replace("Acme <hello@acme.example>", "a@acme.example, b@acme.example"), 7, "one address"),
        (MINIMAL.replace("Acme <hello@acme.example>", "Acme hello@acme.example"), 7, "one address"),
        (MINIMAL.replace("Acme <hello@acme.example>", "{{ from }} <hello@acme.example>"), 7, "variables"),
        (MINIMAL.replace("Acme <hello@acme.example>", "A\\u0007 <hello@acme.example>"), 7, "control"),
        (MINIMAL.replace("You're in, {{ first_name }}", " "), 8, "one line"),
        (MINIMAL.replace("You're in, {{ first_name }}", "a\\r\\nBcc: b@acme.example"), 8, "one line"),
        (MINIMAL.replace("email.html", "../email.html"), 9, "must be in the campaign file's folder"),
        (MINIMAL.replace("email.html", "/etc/hostname"), 9, "must be in the campaign file's folder"),
        (MINIMAL.replace("email.html", "."), 9, "does not exist; create it"),
        (f"{MINIMAL}[limits]\nmessages = []", 11, "must be a rate"),
        (f"{MINIMAL}[limits]\ntokens = [14]", 11, "must be a rate"),
        (f"{MINIMAL}[limits]\nconnections = true", 11, "whole number"),
        (f"{MINIMAL}[limits]\nconnections = 1001", 11, "from 1 to 1000"),
        (f"{MINIMAL}[limits.domains]\ngmail.com = '5/second'", 10, '"gmail.com" = "5/second"'),
        (f"{MINIMAL}[limits.domains]\n'*.com' = '5/second'", 10, "not a domain"),
        (f"{MINIMAL}[limits.domains]\n'A.com' = '5/second'\n'a.com' = '6/second'", 10, "twice"),
        (f"{MINIMAL}[limits]\ndomains = '5/second'", 11, "must be a section, written ["),
        (f"{MINIMAL}[retry]\nattempts = 101", 11, "from 1 to 100"),
        (f"{MINIMAL}[retry]\nfirst_delay = '0s'", 11, "more than 0"),
        (f"{MINIMAL}[retry]\nfirst_delay = '61m'", 11, "at most"),
        (f"{MINIMAL}[[retry]]\nattempts = 1", 10, "must be a section, written ["),
        (f"{MINIMAL}[dkim]\ndomain = 'acme.example'", 10, 'selector is missing; add selector = "s1"'),
        (f"{MINIMAL}[dkim]\nselector = 's_1'", 11, "[dkim] selector: must be letters, digits and hyphens"),
        (f"{MINIMAL}[dkim]\nselector = ''", 11, 'such as "s1"'),
        (f"{MINIMAL}[dkim]\nselector = 's1.'", 11, 'such as "s1"'),
        (f"{MINIMAL}[dkim]\nselector = '{'s' * 64}'", 11, 'such as "s1"'),
        (f"{MINIMAL}[dkim]\nselector = '{'.'.join(['s' * 60] * 4)}'", 10, "[dkim] domain: "),
        (f"{MINIMAL}[dkim]\nselector = 's1'\ndomain = 'other.example'", 12, 'write domain = "acme.example"'),
        (f"{MINIMAL}[dkim]\nselector = 's1'\ndomain = 'notacme.example'", 12, "a parent or a subdomain of it"),
        (f"{MINIMAL}[dkim]\nselector = 's1'\ndomain = 'cme.example'", 12, "DMARC does not count"),
        (f"{MINIMAL}[dkim]\nselector = 's1'\ndomain = 'example'", 12, "[dkim] domain: 'example' is not a domain"),
        (f"{MINIMAL}[dkim]\nselector = 's1'\ndomain = ''", 12, "is not a domain"),
        (f"{MINIMAL}[dkim]\nselector = 's1'\nkey = 'dkim.pem'", 12, 'unknown key "key" in [dkim]; the possible'),
        (f"{MINIMAL.replace('acme.example', 'localhost')}[dkim]\nselector = 's1'", 10, "'localhost' is not a domain"),
        (f"{MINIMAL}[link]\nurl = 'https://acme.example'", 10, 'expires_in = "48h"'),
    ],
)
def test_a_wrong_value_is_told_with_its_line(folder: Path, text: str, line: int, words: str) -> None:
    """A value that breaks a rule is reported with section, key, line, and what to write instead."""
    assert [(number, words in sentence) for number, sentence in problems(folder, text) if words in sentence] == [
        (line, True)
    ]


@pytest.mark.parametrize(
    ("sender", "written", "domain"),
    [
        ("hello@acme.example", "", "acme.example"),
        ("Acme <hello@News.Acme.example>", "", "news.acme.example"),
        ("hello@news.acme.example", "domain = 'ACME.example'", "acme.example"),
        ("hello@acme.example", "domain = 'mail.acme.example'", "mail.acme.example"),
        ("hello@bücher.example", "", "xn--bcher-kva.example"),
        ("hello@news.xn--bcher-kva.example", "domain = 'bücher.example'", "xn--bcher-kva.example"),
    ],
)
def test_the_signing_domain_aligns_with_the_sender(folder: Path, sender: str, written: str, domain: str) -> None:
    """The signing domain is the sender's own, or a parent or subdomain that the file names, in lower-case A-labels."""
    text = MINIMAL.replace("Acme <hello@acme.example>", sender)
    assert load(folder, text).dkim is None
    found = load(folder, f"{text}[dkim]\nselector = 's1.A-2'\n{written}").dkim
    assert found is not None
    assert (found.selector, found.domain) == ("s1.A-2", domain)


def test_a_lookup_makes_the_address_the_key(folder: Path) -> None:
    """With `lookup = "email"` the default key is the address, and the file may name another column."""
    text = MINIMAL.replace("people.csv", 'people.csv"\nlookup = "email')
    assert load(folder, text).recipients.key == "email"
    assert load(folder, text.replace("lookup", 'key = "cart_id"\nlookup')).recipients.key == "cart_id"
    assert RecipientsSection(file=Path("x.csv"), lookup="email").key == "email"


def test_the_csv_may_be_given_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CSV given on the command line is relative to the working directory, and the file need not name one then."""
    monkeypatch.chdir(folder)
    assert load(folder, MINIMAL, recipients=Path("batch.csv")).recipients.file == Path("batch.csv")
    text = MINIMAL.replace('[recipients]\nfile = "people.csv"', "")
    assert load(folder, text, recipients=Path("batch.csv")).recipients.file == Path("batch.csv")


def test_the_csv_is_named_as_a_person_would(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a CSV below the working directory is shown relative to it."""
    (folder / "templates" / "welcome").mkdir(parents=True)
    (folder / "templates" / "welcome" / "email.html").write_text("x")
    monkeypatch.chdir(folder)
    text = MINIMAL.replace("people.csv", "../../recipients/people.csv")
    found = load(Path("templates/welcome"), text)
    assert str(found.recipients.file) == "recipients/people.csv"
    assert str(found.email.html) == "templates/welcome/email.html"
    assert found.template_name(found.email.html) == "email.html"


@given(
    name=st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1).map(str.strip).filter(bool),
)
def test_a_display_name_survives(name: str) -> None:
    """The standard library reads a sender with a quoted display name back exactly as it was written."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    if "{{" in name or "{%" in name:
        return
    assert parseaddr(mailbox(f'"{quoted}" <hello@Acme.example>')) == (name, "hello@acme.example")
