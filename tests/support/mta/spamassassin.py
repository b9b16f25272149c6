"""Ask SpamAssassin for the score of mails, by its local rules: `score`."""

from __future__ import annotations

import mailbox
import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from support.mta.programs import needed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Mail on loopback gets points off for its way, which a mail from the internet does not.
_WITHOUT = ("ALL_TRUSTED", "NO_RELAYS", "NO_RECEIVED")
#: It finds a Bitcoin address, [13][a-km-zA-HJ-NP-Z1-9]{29,34} between two word boundaries, in one of a thousand random
#: tokens in the form of Clerk's (a JWT). The rules that build on it add up to 2 of the 5 points of spam.
_FINDS_BITCOIN = ("__BITCOIN_ID", "__PDS_BTC_ID")


class Score(NamedTuple):
    """SpamAssassin's judgement of one mail."""

    points: float
    #: The names of the rules that matched, without those for the mail's way.
    rules: tuple[str, ...]


def score(folder: Path, mails: Iterable[bytes]) -> list[Score]:
    """Return the score of each mail: local rules only (no network), no learning, no user's preferences."""
    program = needed("spamassassin", "spamassassin")
    path = folder / "judged.mbox"
    box = mailbox.mbox(path)
    for mail in mails:
        box.add(mail)
    box.close()
    rules = [*(f"score {rule} 0" for rule in _WITHOUT), *(f"meta {rule} 0" for rule in _FINDS_BITCOIN)]
    settings = ["use_bayes 0", "use_auto_welcomelist 0", "fold_headers 0", "report_safe 0", *rules]
    done = subprocess.run(
        [program, "--local", "--mbox", "-x", "-p", "/dev/null", *(f"--cf={line}" for line in settings), str(path)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = re.findall(rb"^X-Spam-Status: \w+, score=(-?[\d.]+) required=\S+ tests=(\S+)", done.stdout, re.MULTILINE)
    return [Score(float(points), _names(names.decode())) for points, names in found]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name not in {*_WITHOUT, "none"})
