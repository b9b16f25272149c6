"""`campaign check --online` as a command: what it prints, asks and leaves alone."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.dkim_keys import write_key
from support.environment import environment
from support.servers.dns import DnsServer, txt
from support.servers.page import PageServer
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.environment import Environment

KEY = "s1._domainkey.acme.example"
SMTP = SmtpScript(
    tls="starttls", credentials=("acme", "p4ssw0rd"), capabilities=("PIPELINING", "8BITMIME", "DSN"), auth_required=True
)
MORE = '[dkim]\nselector = "s1"\n[limits]\nmessages = "14/second"\n' + '[unsubscribe]\nnone = "transactional"\n'
#: What nobody can see from here.
HIDDEN = 2


@contextmanager
def campaign(folder: Path) -> Iterator[tuple[Environment, PageServer]]:
    """Yield a campaign with a key, a mail server and a landing page."""
    with environment(folder, smtp=SMTP, more=MORE) as env, PageServer() as page:
        (folder / "authority.pem").write_bytes(env.smtp.authority)
        env.work.environment["SSL_CERT_FILE"] = str(folder / "authority.pem")
        env.work.environment["CAMPAIGN_DKIM_KEY"] = str(write_key(folder, "rsa2048"))
        toml = env.work.file.read_text("utf-8")
        env.work.file.write_text(toml.replace("https://acme.example/welcome", f"{page.url}/welcome"), encoding="utf-8")
        yield env, page


def zone(env: Environment) -> dict[str, Mapping[str, list[str]]]:
    """Return a zone in which all is right."""
    lines = env.work.campaign("check", "campaign.toml").stdout.splitlines()
    return {
        "acme.example": {**txt("v=spf1 include:spf.example ~all"), "MX": ["10 mx.acme.example."]},
        "mx.acme.example": {"A": ["192.0.2.1"]},
        "spf.example": txt("v=spf1 ip4:192.0.2.0/24 ~all"),
        "_dmarc.acme.example": txt("v=DMARC1; p=none"),
        KEY: txt(lines[lines.index(KEY) + 1]),
    }


def check(env: Environment, dns: DnsServer) -> tuple[CompletedProcess[str], dict[str, list[str]]]:
    """Return the command's end, and its lines by severity."""
    done = env.work.campaign("check", "campaign.toml", "--online", "--resolver", dns.address)
    kinds = ("problem", "warning", "not checked", "passed")
    lines = done.stdout.splitlines()
    return done, {
        kind: [line.removeprefix(f"{kind}: ") for line in lines if line.startswith(f"{kind}: ")] for kind in kinds
    }


def test_a_campaign_that_keeps_the_rules(tmp_path: Path) -> None:
    """All that can be seen passes, what cannot is not checked, nothing is sent, and no token is asked for or spent."""
    with campaign(tmp_path) as (env, page), DnsServer(zone(env)) as dns:
        before = sorted(tmp_path.iterdir())
        done, told = check(env, dns)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert told["problem"] == []
        assert all("http://127.0.0.1" in line for line in told["warning"]), "the page of the test alone"
        assert len(told["not checked"]) == HIDDEN
        beginnings = (
            "SPF of",
            "DKIM at",
            "DMARC of",
            "Alignment of DKIM",
            "Alignment of SPF",
            "MX of",
            *["Mail server"] * 5,
        )
        assert [line.startswith(words) for line, words in zip(told["passed"], beginnings, strict=False)] == [True] * 11
        assert told["passed"][11:] == [
            f"Landing page {page.url}/welcome: answers 200 without a token (RFC 9110 §15; the page behind the link)"
        ]
        (request,) = page.events("request")
        assert request["target"] == "/welcome"
        assert not env.clerk.events()
        assert not env.smtp.events("mail", "rcpt", "data", "accept", "violation")
        assert "p4ssw0rd" not in done.stdout
        assert sorted(tmp_path.iterdir()) == before


def test_a_campaign_that_breaks_the_rules(tmp_path: Path) -> None:
    """Each broken rule is a problem with its source and what to do, and the command exits 2."""
    with campaign(tmp_path) as (env, _):
        records = zone(env)
        del records["_dmarc.acme.example"]
        del records["mx.acme.example"]
        records["spf.example"] = txt("none")
        records[KEY] = txt("v=DKIM1; p=MIIB")
        with DnsServer(records) as dns:
            done, told = check(env, dns)
    assert done.returncode == 2
    assert [line.partition(" ")[0] for line in told["problem"]] == ["SPF", "DKIM", "DMARC", "MX"]
    assert all("; " in line and "(RFC " in line for line in told["problem"])
    assert "4 problems; fix these before you send." in done.stdout


@pytest.mark.parametrize("fault", ["SERVFAIL", "REFUSED"])
def test_a_broken_dns_is_said_and_nothing_passes_for_it(tmp_path: Path, fault: str) -> None:
    """What a broken DNS hides is not checked, with the reason; mail server and page are checked all the same."""
    with campaign(tmp_path) as (env, _):
        records = zone(env)
        names = ("acme.example", KEY, "_dmarc.acme.example")
        with DnsServer(records, dict.fromkeys(names, fault)) as dns:
            done, told = check(env, dns)
    assert (done.returncode, done.stderr) == (0, "")
    assert told["problem"] == []
    assert len(told["not checked"]) == HIDDEN + 4
    assert all(line.startswith(("Mail server", "Landing page")) for line in told["passed"])
    assert len(told["passed"]) == 6


def test_the_sandbox_has_no_mail_server_to_look_at(tmp_path: Path) -> None:
    """Without CAMPAIGN_SMTP_URL the mail server and the key are not checked, and the DNS is."""
    with campaign(tmp_path) as (env, _):
        records = zone(env)
        for name in ("CAMPAIGN_SMTP_URL", "CLERK_SECRET_KEY", "CAMPAIGN_DKIM_KEY"):
            del env.work.environment[name]
        with DnsServer(records) as dns:
            done, told = check(env, dns)
    assert done.returncode == 0
    assert len(told["not checked"]) == HIDDEN + 2
    assert any("the campaign would run in the sandbox" in line for line in told["not checked"])
    assert any("no key here to compare with" in line for line in told["not checked"])


def test_the_unsubscribe_link_answers_and_nobody_is_unsubscribed(tmp_path: Path) -> None:
    """A running `campaign serve` passes, and its log stays without a suppression; a stopped one is a problem."""
    with campaign(tmp_path) as (env, _), DnsServer(zone(env)) as dns:
        toml = env.work.file.read_text("utf-8")
        assert env.work.run().returncode == 0
        link = '<p><a href="{{ unsubscribe }}">No more</a></p>'
        for name in ("email.html", "email.txt"):
            file = tmp_path / name
            file.write_text(file.read_text("utf-8") + link, encoding="utf-8")
        first = toml.replace('none = "transactional"', 'url = "http://127.0.0.1:9/u"\nlist = "news"')
        env.work.file.write_text(first, encoding="utf-8")
        process = env.work.start("serve", "campaign.toml", "--port", "0")
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            env.work.file.write_text(first.replace("http://127.0.0.1:9", address), encoding="utf-8")
            done, told = check(env, dns)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        assert done.returncode == 0, done.stdout
        name = f"One-click unsubscribe at {address}/u: "
        assert f"{name}answers 200 to the POST of a mail program, without a redirect" in told["passed"][-1]
        assert env.work.campaign("suppress", "list").stdout.count("\n") == 1
        done, told = check(env, dns)
        assert done.returncode == 2
        assert told["problem"][0].startswith(f"{name}nothing listens there; start campaign serve")


def test_without_the_option_nobody_is_asked(tmp_path: Path) -> None:
    """Without `--online` neither the mail server nor the page is asked, and `--resolver` alone is refused."""
    with campaign(tmp_path) as (env, page):
        assert env.work.campaign("check", "campaign.toml").returncode == 0
        assert env.silent
        assert not page.events()
        done = env.work.campaign("check", "campaign.toml", "--resolver", "192.0.2.53")
        assert done.returncode == 2
        assert "--resolver needs --online" in done.stderr
        done = env.work.campaign("check", "campaign.toml", "--online", "--resolver", "dns.example")
        assert done.returncode == 2
        assert "--resolver: 'dns.example' is not an IP address" in done.stderr


@pytest.mark.long
def test_without_dnspython_the_extra_is_named(tmp_path: Path) -> None:
    """Where dnspython is missing, `--online` says what to install and exits 2."""
    code = "import sys; sys.modules['dns'] = None; from campaign.cli import main; main()"
    with campaign(tmp_path) as (env, _):
        process = env.work.start("check", "campaign.toml", "--online", of=(sys.executable, "-c", code))
        _, said = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "pip install 'campaign[online]'" in said
