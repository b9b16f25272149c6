"""The files of `deploy/`: right in form, in agreement with each other, and command lines that the program takes."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml

from campaign.cli.group import commands as cli
from campaign.clock import SystemClock
from campaign.config.settings import Settings
from campaign.config.smtp_url import parse_smtp_url
from campaign.schedule.duration import parse_duration
from campaign.watching.endpoint import serve
from campaign.watching.health import Health
from campaign.watching.metrics import Metrics
from support import ROOT
from support.deploy_files import DEPLOY, dockerfile, ignored, unit
from support.mta.programs import needed

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
README = (DEPLOY / "README.md").read_text("utf-8")
PORT = "8027"
#: How long a drain may take: the reply to the last dot, and what comes behind it.
DRAIN = Settings.model_fields["reply_timeout"].default + timedelta(seconds=30)
#: The instructions (Dockerfile reference) that the image needs.
INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "RUN", "USER", "VOLUME", "WORKDIR"}


def instructions(name: str, *, stage: int = 1) -> list[str]:
    """Return the texts of a stage's instructions."""
    return [one.text for one in dockerfile() if (one.name, one.stage) == (name, stage)]


def environment() -> dict[str, str]:
    """Return the variables of the image."""
    (text,) = instructions("ENV")
    return dict(word.split("=", 1) for word in shlex.split(text))


def words(name: str) -> list[str]:
    """Return the exec form of an instruction of the image."""
    (found,) = (one.words for one in dockerfile() if (one.name, one.stage) == (name, 1))
    return found


def option(command: Sequence[str], name: str) -> str:
    """Return the value of an option in a command line."""
    return command[command.index(name) + 1]


def accepted(command: Sequence[str]) -> bool:
    """Return whether the program takes a command line: the command is there, with these options and arguments."""
    found = cli.commands[command[0]]
    with found.make_context(command[0], list(command[1:])) as context:
        return bool(context.params["port"] == int(option(command, "--port")))


def test_the_dockerfile_has_two_stages_in_the_form_that_docker_reads() -> None:
    """The Dockerfile has only instructions that it needs, builds in one stage, and copies from it to the other."""
    assert {one.name for one in dockerfile()} <= INSTRUCTIONS
    build, final = (one.text for one in dockerfile() if one.name == "FROM")
    base, _, name = build.partition(" AS ")
    assert re.fullmatch(r"python:3\.\d+-slim", base), "pinned to a minor version"
    assert final == base, "both stages have the same interpreter, for the virtual environment links to it"
    (copied,) = instructions("COPY")
    assert copied == f"--from={name} /opt/campaign /opt/campaign"
    assert any("venv --without-pip /opt/campaign " in text for text in instructions("RUN", stage=0))


def test_the_interpreter_of_the_image_is_one_that_the_program_supports() -> None:
    """The image's Python stands in the classifiers of pyproject.toml."""
    version = re.findall(r"python:(3\.\d+)-slim", (DEPLOY / "Dockerfile").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {f"Programming Language :: Python :: {one}" for one in version} <= set(project["classifiers"])


def test_the_extras_of_the_image_exist() -> None:
    """Each extra that the image installs is one of pyproject.toml, and `watch` is among them."""
    (given,) = instructions("ARG", stage=0)
    extras = given.removeprefix("EXTRAS=").split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"watch"} <= set(extras) <= set(project["optional-dependencies"])


def test_the_build_copies_what_the_wheel_is_made_of_and_no_secret() -> None:
    """All that pyproject.toml puts into the wheel is copied and not ignored; settings, logs and keys are ignored."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = pyproject["project"]
    parts = [
        "pyproject.toml",
        project["readme"],
        *project["license-files"],
        *wheel["packages"],
        *wheel["force-include"],
    ]
    copied = {source for text in instructions("COPY", stage=0) for source in text.split()[:-1]}
    for part in parts:
        assert any(part == one or part.startswith(f"{one}/") for one in copied), f"{part} is not copied"
        assert not ignored(part), f"{part} is ignored"
    tracked = subprocess.run(["git", "ls-files", *copied], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [file for file in tracked.stdout.split() if ignored(file)] == []
    for secret in (
        ".env",
        ".git/config",
        "tests/conftest.py",
        "templates/promotion/.env",
        "templates/promotion/send-log.db",
        "templates/promotion/send-log.db-wal",
        "templates/promotion/.campaign/mail/new/1",
        "templates/dkim.pem",
        "campaign/__pycache__/model.cpython-313.pyc",
    ):
        assert ignored(secret), f"{secret} would be in the image"


def test_the_image_runs_as_a_user_who_owns_only_the_volume() -> None:
    """The process has a fixed number that is not root's, and the log's folder is a volume that belongs to it."""
    (user,) = instructions("USER")
    assert re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", user)
    (prepared,) = instructions("RUN")
    uid, gid = user.split(":")
    assert f"--uid {uid} " in prepared
    assert f"--gid {gid} " in prepared
    (volume,) = instructions("VOLUME")
    assert f"--owner=campaign --group=campaign --mode=0700 {volume}" in prepared
    assert Path(environment()["CAMPAIGN_LOG"]).parent == Path(volume)
    assert Path(environment()["CAMPAIGN_SANDBOX"]).parent == Path(volume)


def test_the_image_watches_the_mounted_campaign() -> None:
    """What the image runs is a command line of the program, on a campaign in the folder that is to be mounted."""
    assert words("ENTRYPOINT") == ["campaign"], "process 1, which gets the signals"
    command = words("CMD")
    assert accepted(command)
    (folder,) = instructions("WORKDIR")
    assert command[1] == f"{folder}/campaign.toml"
    assert option(command, "--port") == PORT


@pytest.mark.parametrize(("fails", "code"), [(False, 0), (True, 1)])
def test_the_health_check_of_the_image_asks_the_watch(*, fails: bool, code: int) -> None:
    """The image's HEALTHCHECK exits 0 while the watch is well and 1 when it is not, and 1 when nothing answers."""
    command = words("HEALTHCHECK")
    assert command[0] == "python"
    assert f" {PORT}," in command[2]
    health = Health(SystemClock().now)
    if fails:
        health.failing("carts", "Clerk refuses the secret key.")

    def exit_code(port: int) -> int:
        script = command[2].replace(f" {PORT},", f" {port},")
        return subprocess.run([sys.executable, command[1], script], stderr=subprocess.DEVNULL, check=False).returncode

    async def act() -> tuple[int, int]:
        async with serve(0, Metrics(), health) as url:
            port = urlsplit(url).port or 0
            asked = await asyncio.to_thread(exit_code, port)
        return asked, await asyncio.to_thread(exit_code, port)

    assert asyncio.run(act()) == (code, 1)


def test_compose_has_a_watch_and_mailpit_on_one_loopback() -> None:
    """The compose file has both services: Mailpit pinned to a release, and a watch that sends to it without TLS."""
    services = COMPOSE["services"]
    assert set(services) == {"mailpit", "watch"}
    assert re.fullmatch(r"axllent/mailpit:v\d+\.\d+\.\d+", services["mailpit"]["image"])
    watch = services["watch"]
    assert watch["network_mode"] == "service:mailpit"
    assert "ports" not in watch, "a service without a network of its own cannot publish ports"
    server = parse_smtp_url(watch["environment"]["CAMPAIGN_SMTP_URL"])
    assert (server.host, server.port) == ("127.0.0.1", 1025)
    for port in services["mailpit"]["ports"]:
        assert port.startswith("127.0.0.1:"), "the inbox is for this machine"


def test_compose_builds_and_mounts_what_is_there() -> None:
    """Compose builds this Dockerfile, and its volumes are the folders of the image."""
    watch = COMPOSE["services"]["watch"]
    context = DEPLOY / watch["build"]["context"]
    assert context.resolve() == ROOT
    assert (context / watch["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    campaigns, log = watch["volumes"]
    (folder,), (volume,) = instructions("WORKDIR"), instructions("VOLUME")
    assert campaigns == "${CAMPAIGNS:-./example}:" + f"{folder}:ro"
    name, _, place = log.partition(":")
    assert (name in COMPOSE["volumes"], place) == (True, volume)
    assert parse_duration(watch["stop_grace_period"]) > DRAIN
    assert watch["read_only"]


def test_the_example_can_be_sent_without_clerk() -> None:
    """`campaign check` finds nothing to fix in the example, which has no sign-in link."""
    arguments = [sys.executable, "-m", "campaign", "check", str(DEPLOY / "example/campaign.toml")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "readers: 2 emails can be rendered" in done.stdout
    assert "[link]\n" not in (DEPLOY / "example/campaign.toml").read_text("utf-8")


def test_the_service_runs_a_command_line_of_the_program() -> None:
    """The unit starts the program by its absolute path, with options that `campaign watch` has, at the known port."""
    (start,) = unit()["ExecStart"]
    program, *command = shlex.split(start)
    assert program == "/opt/campaign/bin/campaign"
    assert accepted(command)
    assert Path(command[1]).is_absolute()
    assert (option(command, "--port"), option(command, "--log-format")) == (PORT, "json")
    assert "--yes" in command, "nobody is there to ask"


def test_the_service_keeps_its_secrets_and_its_log_apart() -> None:
    """The log is in the unit's own folder, each secret is a credential, and every variable is one of the program's."""
    values = unit()
    variables = dict(value.split("=", 1) for value in values["Environment"])
    assert variables.keys() <= {(field.alias or name).upper() for name, field in Settings.model_fields.items()}
    (folder,) = values["StateDirectory"]
    assert variables["CAMPAIGN_LOG"] == f"/var/lib/{folder}/send-log.db"
    credentials = dict(value.split(":", 1) for value in values["LoadCredential"])
    assert {value for value in variables.values() if value.startswith("%d/")} == {f"%d/{name}" for name in credentials}
    for path in [*credentials.values(), *values["EnvironmentFile"]]:
        assert path in README, f"deploy/README.md does not say how {path} comes about"


def test_the_service_has_time_to_drain() -> None:
    """A stop waits for longer than a drain takes, and neither wrong input nor an interrupted drain starts it again."""
    values = unit()
    (stop,) = values["TimeoutStopSec"]
    assert timedelta(minutes=int(stop.removesuffix("min"))) > DRAIN
    assert values["Restart"] == ["on-failure"]
    assert values["RestartPreventExitStatus"] == ["2"]
    assert values["SuccessExitStatus"] == ["130"]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, and `security` finds little that the service may do."""
    analyze = needed("systemd-analyze", "systemd")
    service = tmp_path / "campaign-watch.service"
    text = (DEPLOY / service.name).read_text("utf-8")
    service.write_text(text.replace("/opt/campaign/bin/campaign", sys.executable), "utf-8")
    done = subprocess.run(
        [analyze, "verify", "--recursive-errors=no", str(service)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    arguments = [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(service)]
    judged = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout


def test_the_guide_names_the_same_paths_as_the_files() -> None:
    """Each file of deploy/ is named in its README, as are the unit's paths and the time that a stop may take."""
    for name in ("campaign-watch.service", "Dockerfile", "compose.yaml", "example/readers.csv"):
        assert name in README
    program = unit()["ExecStart"][0].split()[0]
    assert program in README
    assert f"--stop-timeout {int(parse_duration('11m').total_seconds())}" in README
    assert f"runs as user {instructions('USER')[0].split(':')[0]}" in README
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (DEPLOY / target).exists(), target
