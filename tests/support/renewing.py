"""Play a campaign whose links can be replaced, and `campaign serve` beside it: `mailing`, `Server`, `links`."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx

from support.environment import environment
from support.plain_http import NO_TLS
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.environment import Environment
    from support.servers.clerk_script import ClerkScript

PLAIN = "renew = true\n"
_HTML = '<p>Hi</p><a href="{{ link_to("/cart/" ~ user_id) }}">Cart</a> <a href="{{ unsubscribe }}">No</a>'
_TEXT = "Hi {{ first_name }}\n\n{{ link_to('/cart/' ~ user_id) }}\n\nNo: {{ unsubscribe }}\n"


class Server:
    """A `campaign serve` under way."""

    def __init__(self, env: Environment) -> None:
        self._process = env.work.start("serve", "campaign.toml", "--port", "0")
        self.said = ""
        assert self._process.stdout is not None
        while "Ctrl-C" not in self.said:
            line = self._process.stdout.readline()
            assert line, self._process.communicate()
            self.said += line
        (self.url,) = set(re.findall(r"answered at (http://127\.0\.0\.1:\d+/renew)$", self.said, re.MULTILINE))

    def ask(self, tag: str) -> httpx.Response:
        """Ask for a new link, as the landing page does."""
        return httpx.post(self.url, data={"tag": tag}, trust_env=False, verify=NO_TLS)

    def end(self) -> tuple[str, str]:
        """Press Ctrl-C, and return what it printed since it began, and what it warned of."""
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=30)
        assert self._process.returncode == 0
        return out, err


@contextmanager
def mailing(
    folder: Path, *, more: str = PLAIN, people: int = 3, clerk: ClerkScript | None = None, log: str | None = None
) -> Iterator[tuple[Environment, Path]]:
    """Yield a campaign whose links can be replaced, and the folder of the mails that were accepted.

    Args:
        folder: for all files.
        more: the rest of the campaign file.
        people: how many recipients it has.
        clerk: what Clerk does.
        log: the URL of a send log in PostgreSQL; None: it is a file.
    """
    kept, work = folder / "kept", folder / "work"
    kept.mkdir()
    work.mkdir()
    smtp = SmtpScript(keep=str(kept))
    words = {"html": _HTML, "text": _TEXT} if "[unsubscribe]" in more else {}
    with environment(work, people, clerk=clerk, smtp=smtp, more=more, **words) as env:
        if log:
            env.work.environment["CAMPAIGN_LOG"] = log
        yield env, kept


def links(env: Environment, kept: Path, address: str) -> list[dict[str, str]]:
    """Return the parameters of the sign-in link of each mail to an address, oldest first."""
    found = []
    for event in env.accepted:
        if event["rcpt"] == [address]:
            text = kept.joinpath(event["sha256"]).read_bytes().replace(b"=\r\n", b"").decode()
            (link, *_) = re.findall(r"https://acme\.example/welcome\?\S+", text.replace("=3D", "="))
            found.append({name: values[0] for name, values in parse_qs(urlsplit(link).query).items()})
    return found
