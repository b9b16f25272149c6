"""The input of every sender: the CSV of recipients and the templates, about 4 kB of text and HTML each.

The program's and the peers' templates differ only in the link. The peers fill `{{ name }}` by plain string
replacement, which takes hardly any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

if TYPE_CHECKING:
    from pathlib import Path

_COLUMNS = "user_id,email,first_name,last_name,company,city,credits"
_FIRST = ("Ada", "Grace", "Zoë", "Linus", "Łukasz", "Barbara", "Edsger", "Margaret")
_LAST = ("Lovelace", "Hopper", "Øster", "Knuth", "Liskov", "Hamilton", "Nyström", "Perlman")
_CITIES = ("Lisbon", "Zürich", "Tallinn", "Porto", "Malmö")
#: `servers/token_server.py` gives its users the same addresses.
DOMAINS = ("example.com", "example.net", "example.org")

_PARAGRAPHS = (
    (
        "Hello {{ first_name }} {{ last_name }}, you asked us to tell you when there is room, and now there"
        " is. Your place is kept under the name of {{ company }} in {{ city }}, and {{ credits }} credits "
        "are waiting in it."
    ),
    (
        "There is nothing to install and no password to make up. The link below signs you in once, on "
        "whatever device you open it; from then on you are signed in there as anywhere else."
    ),
    (
        "Most people begin with the tour, which takes about four minutes and ends with a first project of "
        "your own. If you would rather look around by yourself, close it: it comes back from the menu "
        "whenever you like."
    ),
    (
        "What you make is yours. You can take it out in open formats at any time, and when you close your "
        "account we delete it within thirty days, the copies included. We do not sell addresses, and we "
        "write seldom."
    ),
    (
        "Bring the others from {{ company }} along: whoever has an address there can join your space "
        "without asking us, and the credits are shared. You decide who may see what, project by project."
    ),
    (
        "Prices have not changed since you signed up: a space of up to five people is free for as long as "
        "it exists, and a larger one is billed by the month, by the people who really used it. We say so "
        "before we charge anything."
    ),
    (
        "Should anything be in the way, answer this mail. It reaches a person, and in {{ city }} that "
        "person is awake at about the same hours as you are."
    ),
)
_STYLE = "font-family:Helvetica,Arial,sans-serif;font-size:16px;line-height:24px;color:#1a1a1a"
_BUTTON = "padding:12px 24px;background:#5b21b6;color:#fff"
#: As many rules, of the same kinds, as the sample templates have; a mail uses about half of them.
_SHEET = """
  :root { color-scheme: light dark; supported-color-schemes: light dark; }
  table { border-collapse: separate; border-spacing: 0; mso-table-lspace: 0; mso-table-rspace: 0; }
  td { padding: 0; font-family: Helvetica, Arial, sans-serif; }
  img { border: 0; display: block; max-width: 100%; }
  a { color: #5b21b6; text-decoration: underline; }
  h1 { margin: 0 0 14px; font-size: 32px; line-height: 40px; font-weight: 700; letter-spacing: -0.6px; }
  h2 { margin: 0 0 10px; font-size: 22px; line-height: 28px; }
  ul li { margin: 0 0 6px; }
  .preheader { display: none; max-height: 0; overflow: hidden; mso-hide: all; }
  .page { width: 100%; background: #f1f0ea; }
  .column { width: 100%; max-width: 600px; margin: 0 auto; }
  .copy p { margin: 0 0 16px; font-size: 17px; line-height: 27px; }
  .copy p + p { padding-top: 4px; }
  .copy p:first-child { font-weight: 600; }
  .gutter { padding: 40px 16px 48px; }
  .wordmark { font-size: 22px; line-height: 28px; font-weight: 800; letter-spacing: -0.6px; }
  .meta { font-size: 12px; line-height: 28px; letter-spacing: 1.8px; text-transform: uppercase; }
  .price { text-align: right; white-space: nowrap; }
  .total td { border-top: 2px solid #22262b; font-weight: 700; }
  .foot { padding: 24px 0 0; font-size: 13px; line-height: 20px; color: #5e646b; }
  .foot a { color: #5e646b; }
  @media (max-width: 480px) { body { padding: 8px !important } .gutter { padding: 16px !important } }
  @media (prefers-color-scheme: dark) { .page { background: #111111 !important } }
"""
LINK, PLAIN_LINK = "{{ link }}", "https://acme.example/welcome?u={{ user_id }}"
SUBJECT, SENDER = "You're in, {{ first_name }}", "Acme <hello@acme.example>"
#: The sender's domain, which signs the mails where DKIM is on.
DOMAIN, SELECTOR = "acme.example", "s1"


def write_recipients(path: Path, count: int) -> Path:
    """Write a CSV of `count` recipients, row by row, and return its path."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(_COLUMNS + "\n")
        file.writelines(_row(number) for number in range(1, count + 1))
    return path


def _row(number: int) -> str:
    return (
        f"user_{number:08},user{number}@{DOMAINS[number % 3]},{_FIRST[number % 8]},{_LAST[number % 7]},"
        f"Company {number % 997},{_CITIES[number % 5]},{number % 50 * 10}\n"
    )


def write_key(path: Path) -> Path:
    """Write a new RSA key of 2048 bits in PEM form and return its path."""
    key = generate_private_key(65537, 2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def write_templates(folder: Path, link: str, *, style: bool = False) -> None:
    """Write `email.html` and `email.txt`.

    Args:
        folder: the folder to write to.
        link: the placeholder for the link's URL.
        style: whether the CSS is in a `<style>`, to be inlined for each message, or in `style` attributes.
    """
    body, paragraph, action = f"margin:0;padding:24px;{_STYLE}", "margin:0 0 16px", _BUTTON
    sheet = f"<style>body {{ {body} }} p {{ {paragraph} }} .action {{ {action} }} {_SHEET}</style>" if style else ""
    body, paragraph, action = (
        ("", "", ' class="action"') if style else (f' style="{each}"' for each in (body, paragraph, action))
    )
    paragraphs = "\n".join(f"<p{paragraph}>{text}</p>" for text in _PARAGRAPHS[:6])
    button = f'<p><a href="{link}"{action}>Open your place</a></p>'
    (folder / "email.html").write_text(
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>You\'re in</title>{sheet}</head>\n'
        f"<body{body}>\n<h1>Welcome, {{{{ first_name }}}}</h1>\n"
        f'<div class="copy">\n{paragraphs}\n</div>\n{button}\n<p class="foot">Acme, 1 Example Street</p>\n'
        "</body>\n</html>\n",
        encoding="utf-8",
    )
    text = "\n\n".join(_PARAGRAPHS)
    (folder / "email.txt").write_text(
        f"Welcome, {{{{ first_name }}}}\n\n{text}\n\n{link}\n\nAcme, 1 Example Street\n", encoding="utf-8"
    )
