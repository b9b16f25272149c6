"""`[link] org_id`: the token of each recipient opens the organization that its column names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.fork_server import ForkingWorkspace
from support.servers.clerk import ClerkServer
from support.servers.clerk_script import ClerkScript
from support.servers.smtp import SmtpServer
from support.servers.smtp_script import SmtpScript

if TYPE_CHECKING:
    from pathlib import Path

ORG = 'org_id = "Org ID"\n'


def people(*organizations: str, tag: str = "") -> list[dict[str, str]]:
    """Return a row for each of these organizations; the last one's address has the tag."""
    rows = [
        {"user_id": f"user_{n}", "email": f"u{n}@example.com", "first_name": f"Name {n}", "Org ID": organization}
        for n, organization in enumerate(organizations)
    ]
    if tag:
        rows[-1]["email"] = rows[-1]["email"].replace("@", f"+{tag}@")
    return rows


def test_each_token_opens_its_organization(tmp_path: Path) -> None:
    """Clerk is asked for each token with the organization of its row, and for one without where the cell is empty."""
    with ClerkServer(ClerkScript()) as clerk, SmtpServer(SmtpScript()) as mail:
        workspace = ForkingWorkspace(tmp_path).write(
            people("org_1A", "", "org_2B"), more=ORG, recipients="verify_address = false"
        )
        answer = workspace.serve_by(clerk=clerk.url, smtp=f"smtp://127.0.0.1:{mail.port}?tls=none").run()
        asked = {token["user_id"]: token["org_id"] for token in clerk.events("token")}
    assert answer.returncode == 0, answer.stderr
    assert asked == {"user_0": "org_1A", "user_1": None, "user_2": "org_2B"}


def test_a_bad_id_costs_its_row_in_check_and_run(tmp_path: Path) -> None:
    """A slug in the column is told by `check` with its line; the run skips that row, with the reason."""
    workspace = ForkingWorkspace(tmp_path).write(people("org_1A", "acme-inc"), more=ORG)
    checked = workspace.campaign("check", "campaign.toml")
    assert "people.csv:3: skipped: The Org ID 'acme-inc' is not the id of a Clerk organization" in checked.stdout
    assert workspace.run().returncode == 0
    rows = {row["key"]: row for row in workspace.rows()}
    assert (rows["user_0"]["state"], rows["user_1"]["state"]) == ("sent", "skipped")
    assert "'acme-inc' is not the id of a Clerk organization" in rows["user_1"]["reason"]
    assert rows["user_1"]["token_id"] is None


def test_who_is_no_member_is_skipped(tmp_path: Path) -> None:
    """Clerk's refusal of a user who is not in the organization skips the row; the reason names both."""
    workspace = ForkingWorkspace(tmp_path).write(people("org_1A", "org_1A", tag="nomember"), more=ORG)
    assert workspace.run().returncode == 0
    rows = {row["key"]: row for row in workspace.rows()}
    assert (rows["user_0"]["state"], rows["user_1"]["state"]) == ("sent", "skipped")
    assert "user_1 in org_1A" in rows["user_1"]["reason"]


def test_a_missing_column_is_a_problem(tmp_path: Path) -> None:
    """Without the column nothing is sent: check and run name it, and the columns that there are."""
    workspace = ForkingWorkspace(tmp_path).write(2, more='org_id = "team"\n')
    for answer in (workspace.campaign("check", "campaign.toml"), workspace.run()):
        assert answer.returncode == 2
        assert 'people.csv: the column "team" is missing; [link] org_id names it.' in answer.stdout + answer.stderr


def test_a_changed_column_is_read_again(tmp_path: Path) -> None:
    """A row that was skipped for its organization is checked anew when the campaign file names another column."""
    rows = [row | {"org": "org_9Z"} for row in people("acme-inc")]
    workspace = ForkingWorkspace(tmp_path).write(rows, more=ORG)
    assert workspace.run().returncode == 2
    workspace.write(rows, more='org_id = "org"\n')
    assert workspace.campaign("retry", "campaign.toml", "--state", "skipped").returncode == 0
    assert workspace.run().returncode == 0
    assert [row["state"] for row in workspace.rows()] == ["sent"]
