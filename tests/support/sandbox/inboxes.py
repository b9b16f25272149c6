"""Use a sandbox's inbox as a browser and as a sender of mail: `Inbox`."""

from __future__ import annotations

import re
import smtplib
from email.message import EmailMessage
from email.policy import SMTP
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.sandbox import Sandbox

ROOT = "/__inbox"
MIA = "mia@example.com"

#: The send log's fields of each message, by Message-ID.
LOG = {"<known@acme.example>": {"state": "sent", "reply": "250 2.0.0 <b>OK</b>", "reason": ""}}


def landing(publishable_key: str, parameter: str) -> str:
    """Return a stand-in for the landing page."""
    return f"<title>landing</title>{publishable_key} {parameter}"


def log_of(message_id: str) -> Mapping[str, object] | None:
    """Return a stand-in for the send log's fields of a message."""
    return LOG.get(message_id)


def written(
    html: str | None = None, text: str = "Hello\n", *, subject: str = "Hello", list_id: str = "", message_id: str = ""
) -> EmailMessage:
    """Return a message."""
    message = EmailMessage(policy=SMTP)
    message["From"] = "Acme <hello@acme.example>"
    message["To"] = MIA
    message["Subject"] = subject
    if list_id:
        message["List-Id"] = list_id
    if message_id:
        message["Message-ID"] = message_id
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


def shown(answer: httpx.Response) -> str:
    """Return the text of a page, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


class Inbox:
    """The inbox of a running sandbox.

    Attributes:
        sandbox: the sandbox.
        http: a client that submits forms like a browser on the inbox's own pages.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx.Client(
            base_url=sandbox.clerk_url,
            headers={"Origin": sandbox.clerk_url},
            trust_env=False,
            timeout=30,
            verify=NO_TLS,
        )

    def get(self, path: str, **choices: str) -> httpx.Response:
        """Return a page of the inbox."""
        return self.http.get(path if path.startswith(ROOT) else ROOT + path, params=choices or None)

    def post(self, message: EmailMessage | bytes, to: str = MIA) -> str:
        """Deliver a message over SMTP and return the path of its page."""
        content = message if isinstance(message, bytes) else message.as_bytes()
        parts = urlsplit(self.sandbox.smtp_url)
        with smtplib.SMTP(str(parts.hostname), parts.port or 0) as client:
            client.sendmail("hello@acme.example", [to], content)
        return self.newest()

    def newest(self) -> str:
        """Return the path of the newest mail's page."""
        return f"{ROOT}/mails/{self.sandbox.state.mailbox.last_number()}"

    def issue(self, user_id: str = "user_mia") -> tuple[str, str]:
        """Return a new token's id and JWT."""
        made = self.sandbox.state.tokens.create(user_id, seconds=3600)
        assert made is not None
        return made[0].id, made[1]

    def status(self, token_id: str) -> str:
        """Return Clerk's status of a token."""
        token: Any = self.sandbox.state.tokens.get(token_id)
        return str(token.status)
