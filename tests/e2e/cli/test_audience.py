"""A campaign with an audience, steps and locales on the command line, in the sandbox and through real sockets."""

from __future__ import annotations

import email
import email.policy
from typing import TYPE_CHECKING

import pytest

from support.fork_server import ForkingWorkspace

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

PEOPLE = [
    {"user_id": f"user_{name}", "email": f"{name}@example.com", "first_name": name, "total": total, "locale": locale}
    for name, total, locale in (
        ("ann", "30", "en"),
        ("bob", "10", "en"),
        ("cid", "40", "de"),
        ("dan", "many", "de"),
        ("eve", "50", "fr"),
    )
]
WHERE = 'where = "total | number > 20"\n'
LOCALES = """
[locales]
column = "locale"
default = "en"
[locales.de]
subject = "Hallo {{ first_name }}"
html = "email.de.html"
text = "email.de.txt"
url = "https://acme.example/willkommen"
"""
STEPS = '[[steps]]\nname = "one"\n[[steps]]\nname = "two"\ndue = "one + 1d"\nsubject = "Two"\n'


@pytest.fixture
def work(tmp_path: Path) -> ForkingWorkspace:
    """Return a campaign with an audience and a second locale."""
    made = ForkingWorkspace(tmp_path)
    made.write(PEOPLE, recipients=WHERE, more=LOCALES)
    (tmp_path / "email.de.html").write_text("<p>Hallo</p><a href='{{ link }}'>Weiter</a>")
    (tmp_path / "email.de.txt").write_text("Hallo\n\n{{ link }}\n")
    return made


def mails(work: ForkingWorkspace) -> dict[str, EmailMessage]:
    """Return the sandbox's mails by address."""
    paths = (work.folder / ".campaign" / "mail" / "new").iterdir()
    found = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in paths]
    return {mail["To"]: mail for mail in found}


def body(mail: EmailMessage) -> str:
    """Return the text part."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def test_the_audience_is_mailed_in_its_own_languages(work: ForkingWorkspace) -> None:
    """Only rows inside `where` are mailed, each in its locale or the default, and what is left out is counted."""
    result = work.run()
    assert "1 of 5 rows is outside `where` (total | number > 20)." in result.stdout + result.stderr
    found = mails(work)
    assert {address: mail["Subject"] for address, mail in found.items()} == {
        "ann@example.com": "Hello ann",
        "cid@example.com": "Hallo cid",
        "eve@example.com": "Hello eve",
    }
    assert "https://acme.example/willkommen?token=" in body(found["cid@example.com"])
    assert "https://acme.example/welcome?token=" in body(found["eve@example.com"])
    states = {row["email"]: (row["state"], row["reason"]) for row in work.rows()}
    assert {address: state for address, (state, _) in states.items()} == {
        "ann@example.com": "sent",
        "cid@example.com": "sent",
        "dan@example.com": "skipped",
        "eve@example.com": "sent",
    }
    assert "'many' is not a plain number" in states["dan@example.com"][1]


def test_who_falls_out_of_the_audience_is_mailed_no_more(work: ForkingWorkspace) -> None:
    """A queued row that a new CSV puts outside `where` is not mailed, is counted, and comes back with the next CSV."""
    work.write_people([each | {"total": "30"} for each in PEOPLE])
    assert work.run("--limit", "1").returncode == 0
    first = mails(work)
    work.write_people([each | {"total": "5"} for each in PEOPLE])
    result = work.run()
    assert "5 of 5 rows are outside `where`" in result.stdout + result.stderr
    assert "4 recipients of an earlier CSV will stay queued" in result.stdout + result.stderr
    assert "has no such row inside `where`" in result.stdout + result.stderr
    assert mails(work).keys() == first.keys()
    work.write_people([each | {"total": "30"} for each in PEOPLE])
    assert work.run().returncode == 0
    assert len(mails(work)) == 5


def test_a_wrong_where_sends_nothing(work: ForkingWorkspace) -> None:
    """An expression that compares text with a number ends the run with its line, before anything is sent."""
    work.file.write_text(work.file.read_text().replace("total | number > 20", "total > 20"))
    result = work.run()
    assert result.returncode == 2
    assert "campaign.toml:4: [recipients] where: Text ('30') is compared with a number ('20')" in result.stderr
    assert not (work.folder / ".campaign" / "mail" / "new").exists() or mails(work) == {}


def test_preview_and_test_show_the_chosen_step_and_locale(work: ForkingWorkspace) -> None:
    """`--step` and `--locale` choose the message, by default the first step in the row's own locale."""
    work.file.write_text(work.file.read_text() + STEPS)

    def subject(*options: str) -> str:
        shown = work.campaign("preview", "campaign.toml", *options)
        assert shown.returncode == 0, shown.stderr
        return next(line for line in shown.stdout.splitlines() if line.startswith("Subject: "))

    assert subject() == "Subject: Hello ann"
    assert subject("--email", "cid@example.com") == "Subject: Hallo cid"
    assert subject("--locale", "DE") == "Subject: Hallo ann"
    assert subject("--step", "two") == "Subject: Two"
    wrong = work.campaign("preview", "campaign.toml", "--locale", "fr")
    assert wrong.returncode == 2
    assert "--locale fr: the campaign has no such locale: its locales are en, de." in wrong.stderr
    sent = work.campaign("test", "campaign.toml", "--to", "me@example.com", "--step", "two", "--sandbox")
    assert sent.returncode == 0, sent.stderr
    assert mails(work)["me@example.com"]["Subject"] == "Two"


def test_check_names_what_is_wrong_in_a_locale(work: ForkingWorkspace) -> None:
    """`check` renders every row in its locale, and names the locale of a mistake with exit code 2."""
    assert work.campaign("check", "campaign.toml").returncode == 0
    (work.folder / "email.de.html").write_text("<a href='{{ link }}'>{{ vorname }}</a>")
    result = work.campaign("check", "campaign.toml")
    assert result.returncode == 2
    assert "email.de.html:1: The variable vorname does not exist" in result.stdout
    assert "(locale de)" in result.stdout
