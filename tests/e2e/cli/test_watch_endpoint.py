"""`campaign watch --port`: health and numbers of a watch that sends, and a port or a library that is missing."""

from __future__ import annotations

import json
import re
import socket
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.environment import environment
from support.refusals import refused
from support.watching import replace, watching

if TYPE_CHECKING:
    from pathlib import Path

    from support.watching import Watch


def origin(watch: Watch) -> str:
    """Return where a watch answers, as it says at its start."""
    assert watch.process.stdout is not None
    for line in watch.process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+(?=/metrics)", line):
            return found[0]
    raise AssertionError(watch.told)


def health(url: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of `/healthz`."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=30) as answer:  # noqa: S310 - of this machine
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, json.load(answer)


def numbers(url: str, metric: str) -> dict[str, float]:
    """Return the numbers of a metric of one campaign by its second label."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:  # noqa: S310 - of this machine
        families = text_string_to_metric_families(answer.read().decode())
    samples = [one for family in families for one in family.samples if one.name == metric]
    return {" ".join(value for name, value in one.labels.items() if name != "campaign"): one.value for one in samples}


def test_health_and_numbers_are_those_of_the_campaign(tmp_path: Path) -> None:
    """The numbers agree with `status`, a CSV that vanished makes the watch unwell, and its return makes it well."""
    with (
        environment(tmp_path, 3) as env,
        watching(env.work, "campaign.toml", "--yes", "--port", "0") as watch,
    ):
        url = origin(watch)
        watch.until(lambda: numbers(url, "campaign_rows").get("sent") == 3)
        assert health(url) == (200, {"status": "ok"})
        status = env.work.status()
        assert numbers(url, "campaign_rows").items() <= status.items()
        assert numbers(url, "campaign_messages_total")["sent"] == 3
        assert numbers(url, "campaign_tokens_total") == {"": 3}
        people = tmp_path / "people.csv"
        before = people.read_text(encoding="utf-8")
        people.rename(tmp_path / "aside.csv")
        watch.until(lambda: health(url)[0] == 503)
        found = health(url)[1]
        assert found["status"] == "failing"
        assert "people.csv" in found["campaigns"]["trial"]
        assert numbers(url, "campaign_errors_total")["recipients"] >= 1
        replace(people, before)
        watch.until(lambda: health(url)[0] == 200)
        assert watch.stop() == 0


def test_a_port_that_is_taken_stops_the_watch_before_it_sends(tmp_path: Path) -> None:
    """A port of another program is a sentence and exit code 2, and neither Clerk nor the mail server is asked."""
    with environment(tmp_path, 2) as env, socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = env.work.campaign("watch", "campaign.toml", "--yes", "--port", port)
        assert f"127.0.0.1:{port} is in use" in found.stderr.splitlines()[-1]
        refused(found, "--port", code=2)
        assert env.silent


@pytest.mark.long
def test_only_the_port_needs_the_library(tmp_path: Path) -> None:
    """Without prometheus-client `--port` says what to install and exits 2; a watch without it works."""
    code = "import sys; sys.modules['prometheus_client'] = None; from campaign.cli import main; main()"
    without = (sys.executable, "-c", code)
    with environment(tmp_path, 2) as env:
        process = env.work.start("watch", "campaign.toml", "--yes", "--port", "0", of=without)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "type: pip install 'campaign[watch]'" in said
        assert env.silent
        with watching(env.work, "campaign.toml", "--yes", of=without) as watch:
            watch.until(lambda: len(env.accepted) == 2)
            assert watch.stop() == 0
