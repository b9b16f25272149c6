"""A new link on demand end to end: `campaign serve` takes the request, `campaign run` sends the mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from support.environment import wait_for
from support.plain_http import NO_TLS
from support.renewing import PLAIN, Server, links, mailing
from support.servers.clerk_script import Answer, ClerkScript
from support.servers.script import Fault

if TYPE_CHECKING:
    from pathlib import Path


WITH_URL = PLAIN + '[unsubscribe]\nurl = "https://mail.acme.example/u"\n'
SOON = '[retry]\nfirst_delay = "100ms"\n'


def test_who_asks_gets_another_mail_with_a_live_link(tmp_path: Path) -> None:
    """The old link is dead before the new one is made, which leads to the same place; others get nothing."""
    with mailing(tmp_path, more=WITH_URL) as (env, kept):
        assert env.work.run().returncode == 0
        (first,) = links(env, kept, "u1@d1.example")
        assert first["next"] == "/cart/user_1"
        server = Server(env)
        assert "trial: https://mail.acme.example/u/renew is answered at " in server.said
        answers = [server.ask(tag) for tag in (first["renew"], first["renew"], "x" * 34)]
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
        out, err = server.end()
        assert "1 recipient asked for a new link; `campaign run FILE` or `campaign watch` sends it. 1 false" in out
        assert "1 request for a new link declined so far: an address gets at most one in 10 minutes and 3 in all" in out
        warned = "trial: line 3 of people.csv asked for a new link; without `campaign watch`, type: campaign run"
        assert err == f"{warned} {env.work.file}\n"
        assert env.work.status()["queued"] == 1
        done = env.work.run()
        assert (done.returncode, "1 message sent" in done.stdout) == (0, True), done.stdout
        second = links(env, kept, "u1@d1.example")[1]
        assert (second["renew"], second["next"]) == (first["renew"], first["next"])
        assert second["token"] != first["token"]
        told = [(event["event"], event["id"]) for event in env.clerk.events("token", "revoked")]
        old = next(token["id"] for token in env.tokens if token["token"] == first["token"])
        assert told[-2:] == [("revoked", old), ("token", env.tokens[-1]["id"])]
        assert len(env.accepted) == 4
        assert env.verdict().violated == {}
        assert "nothing to send" in env.work.run().stdout


def test_no_new_link_while_the_old_one_may_live(tmp_path: Path) -> None:
    """While Clerk does not answer the revocation no token is asked for; the same run sends the mail after it has."""
    clerk = ClerkScript(faults=(Fault("revoke", Answer(500, "<html>no</html>"), times=3),))
    with mailing(tmp_path, more=PLAIN + SOON, clerk=clerk) as (env, kept):
        env.work.run()
        (first,) = links(env, kept, "u0@d0.example")
        server = Server(env)
        server.ask(first["renew"])
        server.end()
        assert env.work.run().returncode == 0
        kinds = [event["event"] for event in env.clerk.events("token", "revoked")]
        assert kinds == ["token"] * 3 + ["revoked", "token"]
        assert len(links(env, kept, "u0@d0.example")) == 2


def test_a_run_under_way_takes_it_up(tmp_path: Path) -> None:
    """A request beside a run is served by that run, which ends with exit code 0."""
    with mailing(tmp_path, more=PLAIN + '[limits]\nmessages = "4/second"\n', people=8) as (env, kept):
        assert env.work.run("--limit", "1").returncode == 0
        (first,) = links(env, kept, "u0@d0.example")
        server = Server(env)
        process = env.work.start("run", "campaign.toml", "--yes")
        wait_for(lambda: len(env.accepted) > 1, process)
        assert server.ask(first["renew"]).status_code == 200
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, ""), out
        assert len(env.accepted) == 9
        assert len(links(env, kept, "u0@d0.example")) == 2
        server.end()


@pytest.mark.parametrize("taken", ["while it is sent", pytest.param("queued", marks=pytest.mark.long)])
def test_a_kill_loses_no_request_and_doubles_none(tmp_path: Path, taken: str) -> None:
    """Whoever is killed behind the answer, `serve` or the run that sends the mail, one new mail goes out."""
    with mailing(tmp_path) as (env, kept):
        env.work.run()
        process = env.work.start("serve", "campaign.toml", "--port", "0")
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        tag = links(env, kept, "u2@d2.example")[0]["renew"]
        assert httpx.post(url, data={"tag": tag}, trust_env=False, verify=NO_TLS).status_code == 200
        process.kill()
        process.communicate()
        if taken != "queued":
            running = env.work.start("run", "campaign.toml", "--yes")
            wait_for(lambda: len(env.tokens) == 4, running)
            running.kill()
            running.communicate()
        env.work.run()
        found = links(env, kept, "u2@d2.example")
        assert len(found) == 2 or (taken != "queued" and env.work.status()["uncertain"] == 1)
        assert env.verdict().violated == {}


def test_check_says_how_the_page_is_made(tmp_path: Path) -> None:
    """`check` names the address that the page needs; where the file does not say it, a warning gives the line."""
    with mailing(tmp_path, more=WITH_URL) as (env, _):
        said = env.work.campaign("check", "campaign.toml").stdout
        assert (
            "links: a dead one can be replaced by the page that this makes: campaign landing --renew https://" in said
        )
        env.work.write(3, more=PLAIN)
        said = env.work.campaign("check", "campaign.toml").stdout
        line = env.work.file.read_text("utf-8").splitlines().index("renew = true") + 1
        assert f"warning: campaign.toml:{line}: renew needs a page that knows where `campaign serve` is reached" in said


def test_a_wrong_renew_is_told(tmp_path: Path) -> None:
    """`renew` without a link's url, with an address or in the way of a parameter is a sentence with its line."""
    with mailing(tmp_path) as (env, _):
        text = env.work.file.read_text("utf-8")
        for old, new, words in (
            ('url = "https://acme.example/welcome"\n', "", "campaign.toml:10: [link] url is missing"),
            (
                "renew = true",
                'renew = "https://acme.example/renew"',
                "campaign.toml:13: [link] renew: must be true or false",
            ),
            (
                "example/welcome",
                "example/welcome?renew=1",
                'campaign.toml:13: [link] renew: "renew" is already in the query',
            ),
        ):
            env.work.file.write_text(text.replace(old, new), encoding="utf-8")
            for command in ("run", "serve"):
                done = env.work.campaign(command, "campaign.toml")
                assert (done.returncode, words in done.stderr) == (2, True), done.stderr
