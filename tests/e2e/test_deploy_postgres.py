"""The files of `deploy/` for several workers on one log in PostgreSQL: their form, and what they configure."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from campaign.cli.group import commands as cli
from campaign.config.postgres_url import parse_postgres_url
from campaign.config.settings import Settings
from campaign.schedule.duration import parse_duration
from campaign.sendlog import workers_of
from support.deploy_files import DEPLOY, dockerfile
from support.environment import wait_for
from support.mta.programs import free_port
from support.servers.postgres import NAMES
from support.servers.smtp import SmtpServer

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.postgres import Postgres

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose-postgres.yaml").read_text("utf-8"))
README = (DEPLOY / "README.md").read_text("utf-8")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = ("worker-1", "worker-2")
OURS = ("migrate", *WORKERS)


def test_no_password_is_in_the_file() -> None:
    """Each password is a variable that must be given, and each of them is in the command that makes them."""
    passwords = {
        value for service in SERVICES.values() for name, value in service["environment"].items() if "PASSWORD" in name
    }
    variables = {re.fullmatch(r"\$\{(\w+)_PASSWORD:\?deploy/README.md [\w ]+\}", value) for value in passwords}
    assert None not in variables
    made = re.search(r"for role in ([A-Z ]+); do", README)
    assert made
    assert {each[1] for each in variables if each} == set(made[1].split()) == {"ADMIN", "OWNER", "WORKER", "READER"}
    assert "postgres.env" in (DEPLOY.parent / ".gitignore").read_text("utf-8").split()


def test_each_service_may_do_little() -> None:
    """Nothing but Mailpit writes outside of its volumes, has a capability or gets more rights than it started with."""
    assert set(SERVICES) == {"mailpit", "postgres", *OURS}
    for name in ("postgres", *OURS):
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "/tmp" in service["tmpfs"]  # noqa: S108 - a container's
        assert "ports" not in service
    assert SERVICES["postgres"]["user"] == "postgres", "its entrypoint changes owners as root, and need not"
    assert COMPOSE["networks"]["log"]["internal"] is True
    assert SERVICES["postgres"]["networks"] == ["log"], "passwords and rows in clear text stay on this machine"
    for port in SERVICES["mailpit"]["ports"]:
        assert port.startswith("127.0.0.1:")


def test_the_images_are_pinned_and_new_enough() -> None:
    """PostgreSQL and Mailpit are pinned to a release, and the program's image has the extra for PostgreSQL."""
    version = re.fullmatch(r"postgres:(\d+)\.\d+", SERVICES["postgres"]["image"])
    assert version
    assert 14 <= int(version[1]) < 18, "from 18 on, the image has its data elsewhere"
    assert "database:/var/lib/postgresql/data" in SERVICES["postgres"]["volumes"]
    assert (
        SERVICES["mailpit"]["image"]
        == yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]["mailpit"]["image"]
    )
    (extras,) = (each.text for each in dockerfile() if each.name == "ARG")
    assert "postgres" in extras.removeprefix("EXTRAS=").split(",")
    for name in OURS:
        assert SERVICES[name]["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}


def test_each_service_waits_for_what_it_needs() -> None:
    """The tables are made when the server is ready, by TCP, and the workers begin when they are."""
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert SERVICES["migrate"]["command"] == ["migrate"]
    assert SERVICES["migrate"]["restart"] == "no"
    check = SERVICES["postgres"]["healthcheck"]["test"]
    assert check[check.index("--host") + 1] == "127.0.0.1"
    for name in WORKERS:
        needs = SERVICES[name]["depends_on"]
        assert needs["migrate"] == {"condition": "service_completed_successfully"}
        assert needs["mailpit"] == {"condition": "service_healthy"}
        assert parse_duration(SERVICES[name]["stop_grace_period"]) > Settings.model_fields["reply_timeout"].default
    for volume in SERVICES["postgres"]["volumes"][1:]:
        assert (DEPLOY / volume.split(":")[0]).is_file()


def test_the_workers_run_what_the_program_takes_on_ports_of_their_own() -> None:
    """Both run the image's command, the second with another port, at which its health check asks."""
    (command,) = (each.words for each in dockerfile() if each.name == "CMD")
    first, second = SERVICES["worker-1"], SERVICES["worker-2"]
    assert "command" not in first
    assert second["command"] == [word.replace("8027", "8028") for word in command]
    with cli.commands["watch"].make_context("watch", list(second["command"][1:])) as context:
        assert context.params["port"] == 8028
    (check,) = (each.words for each in dockerfile() if each.name == "HEALTHCHECK")
    assert second["healthcheck"]["test"] == ["CMD", *(word.replace("8027", "8028") for word in check)]
    assert {SERVICES[name]["network_mode"] for name in WORKERS} == {"service:mailpit"}


def command_of(service: str) -> list[str]:
    """Return the command line of a service: its own, or the image's."""
    (of_the_image,) = (each.words for each in dockerfile() if each.name == "CMD")
    return list(SERVICES[service].get("command", of_the_image))


def test_the_guide_names_these_files() -> None:
    """The README of deploy/ names each file, and its commands the services that there are."""
    for name in ("compose-postgres.yaml", "postgres-roles.sql", "postgres-passwords.sql"):
        assert f"({name})" in README
    assert set(re.findall(r"worker-\d", README)) == set(WORKERS)


def wait_until_started(watch: subprocess.Popen[str]) -> None:
    """Wait until a signal lets a watch finish what it has in hand; before that it ends it at once."""
    assert watch.stderr is not None
    assert any('"event": "started"' in line for line in watch.stderr)


@pytest.mark.long
def test_the_configuration_works(tmp_path: Path, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the files that the server executes, the owner makes the tables, and the workers send each mail once."""
    url = postgres_server.fresh(is_empty=True)
    database = url.rpartition("/")[2]
    with postgres_server.admin() as connection:
        connection.execute(f"ALTER DATABASE {database} OWNER TO postgres".encode())
    # the same as everywhere in the tests, since roles are the server's
    passwords = {f"{role}_PASSWORD": "secret" for role in ("ADMIN", "OWNER", "WORKER", "READER")}
    for name, value in passwords.items():
        monkeypatch.setenv(name, value)
    for volume in SERVICES["postgres"]["volumes"][1:]:
        postgres_server.psql(DEPLOY / volume.split(":")[0], database)
    folder = tmp_path / "campaigns"
    shutil.copytree(DEPLOY / "example", folder)

    with SmtpServer() as mail:

        def start(service: str, *arguments: str) -> subprocess.Popen[str]:
            given = {
                name: re.sub(r"\$\{(\w+):.*\}", lambda found: passwords.get(found[1], ""), value)
                for name, value in SERVICES[service]["environment"].items()
            }
            log = given["CAMPAIGN_LOG"]
            assert parse_postgres_url(log).parameters["user"] == NAMES["owner" if service == "migrate" else "worker"]
            given["CAMPAIGN_LOG"] = log.replace("@postgres/campaigns", f"@127.0.0.1:{postgres_server.port}/{database}")
            if "CAMPAIGN_SMTP_URL" in given:
                given["CAMPAIGN_SMTP_URL"] = mail.url
            kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
            return subprocess.Popen(
                [sys.executable, "-m", "campaign", *arguments],
                cwd=folder, env=kept | given, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip

        def end(process: subprocess.Popen[str], *codes: int) -> str:
            out, err = process.communicate(timeout=120)
            assert process.returncode in codes, (out, err)
            assert "secret@" not in out + err
            return out

        end(start("migrate", *SERVICES["migrate"]["command"]), 0)
        watches = []
        for name in WORKERS:
            words = [word.replace("/campaigns", str(folder)) for word in command_of(name)]
            words[words.index("--port") + 1] = str(free_port())
            watches.append(start(name, *words))
        for watch in watches:
            wait_for(lambda: len(mail.events("accept")) == 2, watch)
        log = parse_postgres_url(postgres_server.for_admin(url))
        wait_for(lambda: len(workers_of(log) or ()) == len(WORKERS), watches[0])
        for watch in watches:
            wait_until_started(watch)
            watch.send_signal(signal.SIGTERM)
        for watch in watches:
            end(watch, 0)
        status = end(start("worker-1", "status", "campaign.toml", "--json"), 0)
        mailed = [event["rcpt"][0] for event in mail.events("accept")]
    assert len(mailed) == len(set(mailed)) == json.loads(status)["sent"] == 2
    postgres_server.drop(url)
