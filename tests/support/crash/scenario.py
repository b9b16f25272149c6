"""Describe a campaign and two servers with all kinds of faults at low rates: `Scenario`. It starts nothing."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.crash.records import Terms
from support.servers.clerk_script import Answer, Change, ClerkScript, Truncate, Used, Users, refusal
from support.servers.script import Delay, Drop, Extra, Fault, Raw, Reply, Reset, Silence
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.script import Action

CAMPAIGN = "crash-loop"
CONNECTIONS = 10
ATTEMPTS = 5

_DEFINITION = """
name = "{name}"

[recipients]
{source}
verify_address = {verify}

[email]
from     = "Acme <hello@acme.example>"
reply_to = "help@acme.example"
bounces  = "bounces@acme.example"
subject  = "You're in, {{{{ first_name }}}}"
html     = "email.html"
text     = "email.txt"
{link}
[limits]
{rates}
connections = {connections}
{domains}
[retry]
attempts    = {attempts}
first_delay = "{first_delay_ms}ms"
"""

_WAITLIST = """clerk = "waitlist"
create_users = true
key = "waitlist_id\""""

_LINK = """
[link]
url        = "https://acme.example/welcome?city={{ city }}"
parameter  = "token"
expires_in = "48h"
"""

_HTML = """<!doctype html>
<html><body>
<h1>Hello {{ first_name }}</h1>
<p>There is a place for you in {{ city }}. <a href="{{ link }}">Sign in</a></p>
<p>Or <a href="{{ link_to('https://acme.example/help') }}">ask for help</a>.</p>
</body></html>
"""

_TEXT = """Hello {{ first_name }},

there is a place for you in {{ city }}: {{ link }}
"""

_NAMES = ("Ada", "Bjørn", "Zoë", "Ng", "O'Neil", "王小明", "Ana María", '"Q" & <A>')
_CITIES = ("Oslo", "São Paulo", "A & B", "Paris, France", "100%")
_FATES = ("", "grey", "bounce", "full", "gone", "banned", "moved")
#: The percentage of people with each fate; the empty fate is a normal delivery.
_SHARES = (94, 2, 1, 1, 0.7, 0.7, 0.6)


@dataclass(frozen=True)
class Scenario:
    """The parameters of one crash loop."""

    recipients: int = 400
    seed: int = 1
    first_delay: float = 0.2
    #: The message rates, such as "200/second", separated by commas, or None.
    messages: str | None = None
    #: The token rates.
    tokens: str = "100000/second"
    #: The rates of recipient domains; the people's are `d0.example` to `d6.example`.
    domains: tuple[tuple[str, str], ...] = ()
    #: Whether every mail carries a token.
    link: bool = True
    #: A factor for the faults' probabilities; 0: no faults.
    trouble: float = 1.0
    #: Seconds that the mail server takes per message.
    latency: float = 0.0
    #: Compare the addresses with those of Clerk's users.
    verify: bool = True
    #: The people are on Clerk's waitlist, and each of them needs a user.
    waitlist: bool = False
    #: Record at each final dot whether the intent is in the log.
    witness: bool = True
    #: Faults of the mail server that do not depend on random numbers.
    certain: tuple[Fault, ...] = ()
    #: The same for Clerk.
    certain_at_clerk: tuple[Fault, ...] = ()

    def terms(self) -> Terms:
        """Return the campaign's limits, for the checker."""
        return Terms(
            link=self.link,
            connections=CONNECTIONS,
            attempts=ATTEMPTS,
            first_delay=self.first_delay,
            rates=_windows(self.messages or ""),
            call_rates=_windows(self.tokens) if self.link else (),
            domain_rates={domain: _windows(rates) for domain, rates in self.domains},
            squeeze=0.25,  # both sides are processes on a machine that may be busy
            call_squeeze=0.25,
        )

    def write(self, folder: Path) -> Path:
        """Write the campaign file with its CSV and templates, and return its path."""
        dice = random.Random(self.seed)  # noqa: S311 - not for secrets
        lines = ["user_id,email,first_name,city"]
        for number in range(self.recipients):
            fate = dice.choices(_FATES, _SHARES)[0]
            name = f"u{number}" + (f"+{fate}" if fate else "")
            quoted = ['"{}"'.format(text.replace('"', '""')) for text in (dice.choice(_NAMES), dice.choice(_CITIES))]
            lines.append(f"{user_of(name)},{name}@d{number % 7}.example,{','.join(quoted)}")
        (folder / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name, template in (("email.html", _HTML), ("email.txt", _TEXT)):
            text = template if self.link else _without_link(template)
            (folder / name).write_text(self._with_columns(text), encoding="utf-8")
        path = folder / "campaign.toml"
        text = _DEFINITION.format(
            name=CAMPAIGN,
            verify=json.dumps(self.verify),
            source=_WAITLIST if self.waitlist else 'file = "people.csv"',
            link=_LINK if self.link else "",
            rates=self._rates(),
            connections=CONNECTIONS,
            domains=self._domains(),
            attempts=ATTEMPTS,
            first_delay_ms=round(self.first_delay * 1000),
        )
        path.write_text(self._with_columns(text), encoding="utf-8")
        return path

    def _with_columns(self, text: str) -> str:
        """Return a text with the columns that there are: an entry of a waitlist has no others."""
        if not self.waitlist:
            return text
        return text.replace("{{ first_name }}", "{{ waitlist_id }}").replace("{{ city }}", "{{ joined_at }}")

    def smtp(self, log: str | Path, *, password: str) -> SmtpScript:
        """Return the script of the mail server."""
        at_random: list[tuple[str, Action, float]] = [
            ("dot", Drop(done=True), 0.006),
            ("dot", Reset(done=True), 0.003),
            ("dot", Silence(6.0, done=True), 0.001),
            ("dot", Raw("what?\r\n", done=True), 0.001),
            ("dot", Raw("250-2.0.0 Ok\r\n", close=True, done=True), 0.001),
            ("dot", Reply("354 Go on", done=True), 0.0005),
            ("dot", Reply("251 2.0.0 Taken", done=True), 0.01),
            ("dot", Reply("421 4.3.2 Closing", close=True), 0.001),
            ("dot", Reply("451 4.3.0 Try again"), 0.005),
            ("dot", Reply("454 4.7.0 Throttling failure"), 0.0003),
            ("dot", Reply("550 5.7.1 Refused after reading"), 0.002),
            ("dot", Extra("421 4.3.2 Closing", close=True), 0.002),
            ("body", Drop(), 0.001),
            ("body", Reset(), 0.001),
            ("data", Drop(), 0.001),
            ("data", Reply("451 4.3.0 Not now"), 0.001),
            ("data", Reply("421 4.3.2 Closing", close=True), 0.0005),
            ("rcpt", Reply("451 4.2.1 Try again"), 0.003),
            ("rcpt", Reply("550 5.1.1 No such user"), 0.002),
            ("rcpt", Drop(), 0.0005),
            ("rcpt", Reset(), 0.0005),
            ("rcpt", Extra("250 2.0.0 Nobody asked"), 0.0005),
            ("rcpt", Delay(0.05), 0.002),
            ("mail", Reply("421 4.3.2 Closing", close=True), 0.0005),
            ("mail", Reply("451 4.3.0 Busy"), 0.0003),
            ("mail", Drop(), 0.0005),
            ("rset", Drop(), 0.01),
            ("ehlo", Drop(), 0.005),
            ("connect", Reset(), 0.01),
            ("connect", Reply("421 4.7.0 Too busy", close=True), 0.01),
            ("idle", Reply("421 4.4.2 Idle", close=True), 0.3),
        ]
        by_fate = (
            Fault("rcpt", Reply("451 4.7.1 Greylisted"), to="*+grey@*", times=2, per="recipient"),
            Fault("rcpt", Reply("550 5.1.1 No such user"), to="*+bounce@*"),
            Fault("rcpt", Reply("452 4.2.2 Mailbox full"), to="*+full@*"),
        )
        slow = (Fault("dot", Delay(self.latency)),) if self.latency else ()
        # uncertain: after a kill another run may have recovered the row before this server has read the dot
        statement = (
            "SELECT 1 FROM delivery WHERE campaign_id = 1 AND slot = '' AND state IN ('sending', 'uncertain') "
            "AND key = 'user_' || replace(substr(:rcpt, 1, instr(:rcpt, '@') - 1), '+', '-') "
            "AND message_id = :message_id"
        )
        if "://" in str(log):
            statement = (
                "SELECT 1 FROM history JOIN delivery ON delivery.id = delivery_id WHERE new_state = 'sending' "
                "AND history.message_id = :message_id AND lower(email) = :rcpt"
            )
        return SmtpScript(
            faults=(*self.certain, *by_fate, *self._dice(at_random), *slow),
            seed=self.seed,
            credentials=("acme", password),
            auth_required=True,
            witness=(str(log), statement) if self.witness else None,
        )

    def clerk(self, people: Path, *, key: str) -> ClerkScript:
        """Return the script of the Clerk instance."""
        at_random: list[tuple[str, Action, float]] = [
            ("create", Drop(done=True), 0.002),
            ("create", Reset(done=True), 0.002),
            ("create", Silence(1.0, done=True), 0.0005),
            ("create", Truncate(), 0.001),
            ("create", Answer(200, done=True), 0.001),
            ("create", Change(without=("token",)), 0.001),
            ("create", Change(without=("id", "url")), 0.001),
            ("create", Answer(500, "<html>Internal error</html>"), 0.002),
            ("create", Answer(502, "<html>Bad gateway</html>", done=True), 0.001),
            ("create", Answer(503), 0.001),
            ("create", Drop(), 0.002),
            ("create", refusal(429, "too_many_requests", retry_after=1, shut=True), 0.0005),
            ("create", Answer(429), 0.0003),
            ("create", refusal(422, "form_param_value_invalid"), 0.001),
            ("create", Delay(0.05), 0.01),
            ("revoke", Answer(500, "<html>Internal error</html>"), 0.02),
            ("revoke", Drop(done=True), 0.02),
            ("revoke", Reset(), 0.01),
            ("revoke", Used(), 0.02),
            ("revoke", refusal(429, "too_many_requests", retry_after=0.5), 0.005),
            ("user", Drop(done=True), 0.02),
            ("user", Reset(done=True), 0.01),
            ("user", Silence(1.0, done=True), 0.002),
            ("user", Truncate(), 0.01),
            ("user", Answer(200, done=True), 0.005),
            ("user", Change(without=("email_addresses",)), 0.005),
            ("user", Answer(500, "<html>Internal error</html>"), 0.01),
            ("user", Answer(502, "<html>Bad gateway</html>", done=True), 0.01),
            ("user", Drop(), 0.01),
            ("user", refusal(429, "too_many_requests", retry_after=0.5), 0.002),
            ("user", Delay(0.05), 0.01),
            ("waitlist", Answer(500), 0.1),
            ("waitlist", Drop(), 0.1),
            ("waitlist", Truncate(), 0.1),
            ("users", Answer(500), 0.01),
            ("users", Drop(), 0.01),
            ("users", Truncate(), 0.01),
        ]
        users = Users(
            csv=str(people),
            unknown=("user_*-gone",),
            banned=("user_*-banned",),
            # a user who is made has the address for which it was made
            moved=() if self.waitlist else ("user_*-moved",),
            waitlist=self.waitlist,
        )
        return ClerkScript(
            users=users, faults=(*self.certain_at_clerk, *self._dice(at_random)), seed=self.seed, key=key
        )

    def _rates(self) -> str:
        rates = {"messages": self.messages}
        if self.link:
            rates = {"messages": self.messages or "100000/second", "tokens": self.tokens}
        return "\n".join(f"{name} = {_written(rate)}" for name, rate in rates.items() if rate)

    def _domains(self) -> str:
        lines = [f"{json.dumps(domain)} = {_written(rates)}" for domain, rates in self.domains]
        return "\n".join(["", "[limits.domains]", *lines, ""]) if lines else ""

    def _dice(self, faults: list[tuple[str, Action, float]]) -> tuple[Fault, ...]:
        shares = [(stage, action, share * self.trouble) for stage, action, share in faults]
        return tuple(Fault(stage, action, probability=share) for stage, action, share in shares if share)


def _written(rates: str) -> str:
    """Return rates as a campaign file has them."""
    return json.dumps([rate.strip() for rate in rates.split(",")])


def _windows(rates: str) -> tuple[tuple[int, float], ...]:
    """Return the number and the seconds of each rate."""
    found = re.findall(r"(\d+)/(\d+ )?(second|minute|hour|day)", rates)
    units = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
    return tuple((int(count), float(number or 1) * units[unit]) for count, number, unit in found)


def _without_link(template: str) -> str:
    """Return a template whose links carry no token."""
    return re.sub(r"{{ link(_to\(.*?\))? }}", "https://acme.example/welcome", template)


def user_of(name: str) -> str:
    """Return the Clerk id of the person with this local part; ids cannot contain a plus sign."""
    return f"user_{name.replace('+', '-')}"
