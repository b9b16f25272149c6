"""`campaign report`: its numbers compared with independent counts, and what it must not contain."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import stat
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

import campaign.cli  # noqa: F401 - its commands
from campaign.cli.group import commands
from support.fork_server import ForkingWorkspace
from support.html_tree import Node, tree
from support.log_history import LogHistory
from support.made_once import made_once
from support.sendlog_helpers import enlist, opened, people, table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RECIPIENTS = 5000
LIMITS = """
[limits]
messages = ["25/second", "3000/day"]
tokens = "40/second"
[limits.domains]
"acme.example" = "6/second"
"never.example" = "1/minute"
"""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> ForkingWorkspace:
    """A finished campaign with its report in `report.html`, and the report with addresses in `people.html`."""

    def make(folder: Path) -> None:
        workspace = finished(folder).write(3, more=LIMITS)
        LogHistory(workspace.log, recipients=RECIPIENTS).write()
        for options in (("--html", "report.html"), ("--html", "people.html", "--with-addresses")):
            answer = workspace.campaign("report", "campaign.toml", *options)
            assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"Wrote {options[1]}.\n", "")

    return finished(made_once(tmp_path_factory, "past", make))


def finished(folder: Path) -> ForkingWorkspace:
    workspace = ForkingWorkspace(folder)
    workspace.environment["CAMPAIGN_LOG"] = str(workspace.log)
    return workspace


@pytest.fixture(scope="module")
def page(past: ForkingWorkspace) -> Node:
    return tree((past.folder / "report.html").read_text("utf-8"))


@pytest.fixture(scope="module")
def rows(past: ForkingWorkspace) -> list[dict[str, Any]]:
    return past.rows()


@pytest.fixture(scope="module")
def history(past: ForkingWorkspace) -> list[dict[str, Any]]:
    return table(past.log, "SELECT * FROM history ORDER BY id")


def integer(text: str) -> int:
    return int(text.replace(",", ""))


def domain_of(row: dict[str, Any]) -> str:
    return str(row["email"]).rpartition("@")[2]


def told(page: Node, heading: str) -> dict[str, str]:
    """Return the large figures of a box, by name."""
    pairs = page.titled(heading).one("dl", "figures").all("div")
    return {pair.one("dt").text: pair.one("dd").text for pair in pairs}


def spots(box: Node) -> Iterable[str]:
    return (spot.one("title").text for spot in box.one("svg", "plot").all("rect", "spot"))


def test_the_states_are_counted(page: Node, rows: list[dict[str, Any]]) -> None:
    """The states add up to the rows of `campaign log`, and the first sentence says how many were mailed."""
    counts = Counter(row["state"] for row in rows)
    shown = {box.one("dt").text: next(box.all("dd")).text.split()[0] for box in page.one("dl", "states").all("div")}
    assert {state: integer(number) for state, number in shown.items()} == counts
    assert page.one("p", "result").text == f"{counts['sent']:,} of {RECIPIENTS:,} recipients were mailed."


def test_the_domains_are_counted(page: Node, rows: list[dict[str, Any]]) -> None:
    """Each domain in the table has the outcomes that `campaign log` lists for it, and the largest are listed."""
    by_domain: dict[str, Counter[str]] = {}
    for row in rows:
        if "@" in row["email"]:
            by_domain.setdefault(domain_of(row), Counter()).update([row["state"]])
    shown = page.titled("Domains").one("table").rows()
    for name, _, number, sent, bounced, failed, uncertain, skipped, _ in shown:
        counts = by_domain[name]
        assert integer(number) == counts.total()
        assert [integer(cell) for cell in (sent, bounced, failed, uncertain, skipped)] == [
            counts[state] for state in ("sent", "bounced", "failed", "uncertain", "skipped")
        ]
    largest = sorted(by_domain, key=lambda name: (-by_domain[name].total(), name))[:12]
    assert [row[0] for row in shown if row[0] in largest] == largest
    worst = max(by_domain, key=lambda name: sum(by_domain[name][each] for each in ("failed", "uncertain", "bounced")))
    assert worst in {row[0] for row in shown}
    assert f"{len(by_domain) - len(shown)} others are not shown" in page.titled("Domains").text


def test_what_came_back_is_counted_by_domain(
    past: ForkingWorkspace, page: Node, rows: list[dict[str, Any]], history: list[dict[str, Any]]
) -> None:
    """Bounces, complaints and unsubscribes are counted once for each recipient, by domain, with their share."""
    domain = {line["id"]: line["domain"] for line in table(past.log, "SELECT id, domain FROM delivery")}
    returned = [line for line in history if line["actor"] == "bounces"]
    kinds = {
        "Bounced": {line["delivery_id"] for line in returned if line["new_state"] == "bounced" != line["old_state"]},
        "Returned for now": {line["delivery_id"] for line in returned if line["enhanced"] == "4.2.2"},
        "Complaints": {line["delivery_id"] for line in returned if line["reply"] == "Feedback-Type: abuse"},
    }
    assert len(returned) > sum(map(len, kinds.values())), "a second report about a recipient does not count again"
    by_kind = {kind: Counter(domain[number] for number in numbers) for kind, numbers in kinds.items()}
    listed = past.campaign("suppress", "list", "--format", "csv").stdout.splitlines()
    unsubscribed = [line.split(",")[0] for line in listed if ",unsubscribed," in line]
    by_kind["Unsubscribed"] = Counter(address.rpartition("@")[2] for address in unsubscribed)
    accepted = Counter(domain_of(row) for row in rows if row["state"] in {"sent", "bounced"})
    box = page.titled("What came back")
    figures = told(page, "What came back")
    for kind, counts in by_kind.items():
        number, share = figures[kind].split(maxsplit=1)
        assert integer(number) == counts.total() > 0
        assert float(share.removesuffix(" %")) == pytest.approx(100 * counts.total() / accepted.total(), abs=0.005)
    shown = {name: [integer(cell) for cell in cells] for name, *cells in box.one("table").rows()}
    for name, cells in shown.items():
        assert cells == [accepted[name], *(counts[name] for counts in by_kind.values())]
    all_of_them = sum(by_kind.values(), Counter())
    assert list(shown) == sorted(all_of_them, key=lambda name: (-all_of_them[name], name))[:12]
    assert f"{len(all_of_them) - 12} others are not shown" in box.text


def test_the_attempts_are_counted(page: Node, rows: list[dict[str, Any]]) -> None:
    """Recipients are counted by their number of attempts, as in `campaign log`."""
    counts = Counter(row["attempts"] for row in rows if row["attempts"])
    shown = {int(row[0]): integer(row[-1]) for row in page.titled("Attempts").one("table").rows()}
    assert shown == counts


def test_the_replies_are_counted(page: Node, history: list[dict[str, Any]]) -> None:
    """Every answer to every attempt is counted once, by its code."""
    counts = Counter(
        (line["code"] or 0, line["enhanced"] or "")
        for line in history
        if line["new_state"] in {"sent", "failed", "uncertain", "queued"} and line["actor"] != "bounces"
    )
    shown: Counter[tuple[int, str]] = Counter()
    for code, _, number, *_ in page.titled("Replies").one("table").rows():
        first, _, rest = code.partition(" ")
        shown[(int(first), rest) if first.isdigit() else (0, "")] += integer(number)
    assert shown == counts


def test_what_became_of_the_replies(page: Node) -> None:
    """Each reply code is listed with its sender, the outcomes of the recipients, and each distinct text once."""
    lines = {(row[0], row[1]): row for row in page.titled("Replies").one("table").rows()}
    assert re.fullmatch(r"deferred \d+ ?failed \d+", lines["452 4.2.2", "mail server"][3])
    assert lines["452 4.2.2", "mail server"][4] == "Mailbox full"
    assert lines["no reply", "Clerk"][4] == "Clerk's answer was lost: timed out"
    assert lines["no reply", "mail server"][3] == "uncertain"
    assert lines["550 5.1.1", "mail server"][4] == "<script>alert(1)</script> <b>[name]</b> [address] [id] […] no"


def test_the_throughput_is_counted(page: Node, history: list[dict[str, Any]]) -> None:
    """The charts count every message and every token of the history exactly once, slot by slot."""
    for heading, state in (("Messages", "sending"), ("Tokens", "issuing")):
        wanted = sum(line["new_state"] == state for line in history)
        box = page.titled(heading)
        numbers = [integer(found) for text in spots(box) for found in re.findall(r"([\d,]+) (?!a )[a-z]", text)]
        assert sum(numbers) == wanted
        assert sum(integer(bold.text) for bold in box.one("ul", "legend").all("b")) == wanted


def test_the_limits_are_held_against_the_fullest_window(
    page: Node, history: list[dict[str, Any]], past: ForkingWorkspace
) -> None:
    """The fullest window of each limit equals the one found by checking all windows."""
    domains = {row["id"]: row["domain"] for row in table(past.log, "SELECT id, domain FROM delivery")}

    def fullest(state: str, period: float, domain: str | None = None) -> int:
        moments = sorted(
            line["at"]
            for line in history
            if line["new_state"] == state and domain in {None, domains[line["delivery_id"]]}
        )
        most, first = 0, 0
        for last, moment in enumerate(moments):
            while moment - moments[first] > period * 0.999:
                first += 1
            most = max(most, last - first + 1)
        return most

    shown = {(row[0], row[1]): row[2] for row in page.titled("Limits").one("table").rows()}
    assert shown == {
        ("messages", "25/second"): f"{fullest('sending', 1)} of 25",
        ("messages", "3000/day"): f"{fullest('sending', 86_400):,} of 3,000",
        ("tokens", "40/second"): f"{fullest('issuing', 1)} of 40",
        ("acme.example", "6/second"): f"{fullest('sending', 1, 'acme.example')} of 6",
        ("never.example", "1/minute"): "0 of 1",
    }
    lines = [text.text for text in page.titled("Messages").one("svg", "plot").all("text", "limit")]
    assert lines == ["limit 25/second"]


def test_the_latencies_are_those_of_the_history(page: Node, history: list[dict[str, Any]]) -> None:
    """Clerk's latency ends with the token and the mail server's with its reply, and lost replies do not count."""
    clerk = [line["token_at"] - line["since"] for line in history if line["token_at"]]
    mail = [
        line["at"] - line["since"] for line in history if line["old_state"] == "sending" and line["new_state"] == "sent"
    ]
    for heading, seconds in (("Clerk", clerk), ("Mail server", mail)):
        figures = {name: float(text.removesuffix(" ms")) / 1000 for name, text in told(page, heading).items()}
        assert figures["Median"] == pytest.approx(median(seconds), rel=0.02)
        assert figures["95 % within"] == pytest.approx(sorted(seconds)[int(len(seconds) * 0.95)], rel=0.02)
        assert figures["Slowest"] == pytest.approx(max(seconds), rel=0.02)
        box = page.titled(heading)
        drawn = [integer(re.findall(r": ([\d,]+) \(", text)[0]) for text in _first_plot(box)]
        missing = re.findall(r"Not drawn: ([\d,]+)", box.text)
        assert sum(drawn) + sum(map(integer, missing)) == len(seconds)


def _first_plot(box: Node) -> list[str]:
    return [spot.one("title").text for spot in next(box.all("svg", "plot")).all("rect", "spot")]


def test_the_tokens_are_accounted_for(page: Node, past: ForkingWorkspace, rows: list[dict[str, Any]]) -> None:
    """Every token is counted in one place, and tokens without a known id are counted apart."""
    (counts,) = table(
        past.log,
        "SELECT sum(outcome = 'revoked') AS revoked, sum(outcome = 'used') AS used, sum(outcome IS NULL) AS pending, "
        "count(*) AS number FROM revocation",
    )
    (orphans,) = table(past.log, "SELECT count(*) AS number FROM orphan")
    to_revoke = {line["token_id"] for line in table(past.log, "SELECT token_id FROM revocation")}
    carried = [row for row in rows if row["token_id"] and row["token_id"] not in to_revoke]
    in_mails = Counter(row["state"] for row in carried if row["state"] in {"sent", "uncertain"})
    box = page.titled("Sign-in tokens")
    legend = {re.sub(r" [\d,]+ [\d.]+ %$", "", each.text): integer(each.one("b").text) for each in box.all("li")}
    assert legend == {
        "in mails that were accepted": in_mails["sent"],
        "in mails that may have arrived": in_mails["uncertain"],
        "revoked": counts["revoked"],
        "to be revoked": counts["pending"],
        "used before they could be revoked": counts["used"],
    }
    issued = integer(told(page, "Sign-in tokens")["Issued"])
    assert issued == sum(legend.values()) == counts["number"] + in_mails.total()
    assert f"{orphans['number']} more may have been issued" in box.text


def test_what_needs_a_decision(past: ForkingWorkspace, page: Node, rows: list[dict[str, Any]]) -> None:
    """Each decision has its number of rows, its reasons grouped, and the command that carries it out."""
    counts = Counter(row["state"] for row in rows)
    to_revoke = len(table(past.log, "SELECT 1 FROM revocation WHERE settled_at IS NULL"))
    decisions = {box.one("h3").text: box for box in page.titled("To decide").all("article")}
    assert list(decisions) == [
        "4 links used that should not have been",
        f"{counts['uncertain']} mails uncertain",
        f"{counts['failed']} mails failed",
        f"{counts['queued']} mails not sent yet",
        f"{to_revoke} links not revoked yet",
    ]
    uncertain = decisions[f"{counts['uncertain']} mails uncertain"]
    assert [code.text for code in uncertain.all("code")] == [
        "campaign resolve campaign.toml --keep",
        "campaign resolve campaign.toml --resend",
    ]
    assert [line.text for line in uncertain.one("ul", "reasons").all("li")] == [
        f"{counts['uncertain']}no reply to the final dot: the server closed"
    ]
    skipped = page.titled("Not to be mailed").one("ul", "reasons")
    assert sum(integer(bold.text) for bold in skipped.all("b")) == counts["skipped"]


def test_every_command_is_one_that_can_be_typed(page: Node) -> None:
    """The command line accepts every command that the page tells the reader to type."""
    lines = [code.text for code in page.all("code")]
    assert len(lines) >= 6
    for line in lines:
        program, name, *arguments = shlex.split(line)
        assert program == "campaign"
        commands.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("name", ["report.html", "people.html"])
def test_the_page_needs_nothing_else_and_runs_nothing(past: ForkingWorkspace, name: str) -> None:
    """The page has no script, only its own style, loads nothing, and its policy would allow nothing else."""
    text = (past.folder / name).read_text("utf-8")
    page = tree(text)
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [
        meta.attributes["content"]
        for meta in page.all("meta")
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    tags = {node.tag for node in page.all()}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "a", "base", "image", "use"}
    names = {attribute for node in page.all() for attribute in node.attributes}
    assert not {name for name in names if name.startswith("on") or name in {"style", "src", "href", "xlink:href"}}
    assert "url(" not in text
    assert "://" not in text


def test_nobody_is_in_the_page(past: ForkingWorkspace, rows: list[dict[str, Any]]) -> None:
    """Without `--with-addresses` the page has no address, key, user id or local part, and never a token's id."""
    text = (past.folder / "report.html").read_text("utf-8")
    assert not re.search(r"user_\d|\bu\d+\b|@\w+\.example|sit_|secret|sk_test", text)
    assert not [row["email"] for row in rows if row["email"] in text]


def test_whose_the_rows_are(past: ForkingWorkspace, rows: list[dict[str, Any]]) -> None:
    """With `--with-addresses` the rows to decide on have address, user and reason, and still no token's id."""
    page = tree((past.folder / "people.html").read_text("utf-8"))
    shown = {
        next(box.all("h3")).text.split()[-1]: box.one("table", "people").rows()
        for box in page.titled("To decide").all("article")
        if any(box.all("table"))
    }
    failed = [row for row in rows if row["state"] == "failed"]
    assert [(line[0], line[1], line[5]) for line in shown["failed"]] == [
        (row["email"], row["user_id"], row["reason"]) for row in failed[:200]
    ]
    assert [line[0] for line in shown["uncertain"]] == [row["email"] for row in rows if row["state"] == "uncertain"]
    assert len(shown["been"]) == 4
    assert f"The first 200 of {len(failed)}" in page.text
    assert "sit_" not in page.text


def test_the_file_is_private_and_an_earlier_report_gives_way(past: ForkingWorkspace, tmp_path: Path) -> None:
    """The page is written with mode 0600, replaces an earlier report, and leaves any other file unchanged."""
    for name in ("report.html", "people.html"):
        assert stat.S_IMODE((past.folder / name).stat().st_mode) == 0o600
    earlier = tmp_path / "report.html"
    earlier.write_bytes((past.folder / "people.html").read_bytes())
    earlier.chmod(0o644)
    assert past.campaign("report", "campaign.toml", "--html", str(earlier)).returncode == 0
    assert stat.S_IMODE(earlier.stat().st_mode) == 0o600
    assert "user_" not in earlier.read_text("utf-8")
    answer = past.campaign("report", "campaign.toml", "--html", "campaign.toml")
    assert answer.returncode == 2
    assert "campaign.toml exists and was not changed" in answer.stderr
    assert past.file.read_text("utf-8").startswith('name = "trial"')


def test_wrong_input_is_a_sentence(tmp_path: Path) -> None:
    """Without a log, with an unknown campaign, or with an unwritable path, there is an error and exit code 2."""
    workspace = ForkingWorkspace(tmp_path).write(3)
    workspace.environment["CAMPAIGN_LOG"] = str(workspace.log)

    def refused(place: str) -> str:
        answer = workspace.campaign("report", "campaign.toml", "--html", place)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert len(answer.stderr.splitlines()) == 1
        return answer.stderr

    assert "does not exist yet" in refused("report.html")
    with opened(workspace.log, campaign="another") as log:
        enlist(log, people(2))
    assert "does not contain the campaign 'trial' (it contains: another)" in refused("report.html")
    with opened(workspace.log) as log:
        enlist(log, people(2))
    assert "the folder no/such does not exist" in refused("no/such/report.html")
    assert "is not a regular file" in refused("/dev/null")
    assert not (tmp_path / "report.html").exists()


def test_a_campaign_that_has_not_run(tmp_path: Path) -> None:
    """Before the first run the page counts the queue and says how to continue, and foreign names are shown as text."""
    workspace = ForkingWorkspace(tmp_path).write(3)
    workspace.environment["CAMPAIGN_LOG"] = str(tmp_path / "<b>.db")
    with opened(tmp_path / "<b>.db") as log:
        enlist(log, people(2), source="/somewhere/<i>.csv")
    assert workspace.campaign("report", "campaign.toml", "--html", "report.html").returncode == 0
    page = tree((tmp_path / "report.html").read_text("utf-8"))
    assert page.one("p", "result").text == "0 of 2 recipients were mailed."
    assert page.one("p", "meta").text == "No run yet from <i>.csv"
    assert "from <b>.db" in page.one("footer").text
    assert [code.text for code in page.one("article", "decision").all("code")] == ["campaign run campaign.toml"]
    assert not list(page.all("svg", "plot"))
