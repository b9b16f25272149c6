"""What Clerk still asks of a person who has signed in (session tasks), as the sandbox plays it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest

from support.sandbox.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaign.sandbox import Sandbox


@pytest.fixture
def visitor(sandbox: Sandbox) -> Iterator[Visitor]:
    """A browser at the sandbox."""
    with Visitor(sandbox) as opened:
        yield opened


@pytest.mark.parametrize(
    ("address", "task"),
    [
        ("tara+task@example.com", "choose-organization"),
        ("tara+task-reset-password@example.com", "reset-password"),
        ("tara+task-setup-mfa@example.com", "setup-mfa"),
    ],
)
def test_a_task_leaves_the_session_pending(sandbox: Sandbox, visitor: Visitor, address: str, task: str) -> None:
    """The ticket is spent and the sign-in complete, but session and session JWT are pending and name the task."""
    sandbox.learn([(f"user_{task}", address)])
    made = sandbox.state.tokens.create(f"user_{task}", seconds=60)
    assert made is not None
    answer = visitor.redeem(made[1]).json()
    assert answer["response"]["status"] == "complete"
    (session,) = answer["client"]["sessions"]
    assert (session["status"], session["tasks"]) == ("pending", [{"key": task}])
    claims = jwt.decode(session["last_active_token"]["jwt"], options={"verify_signature": False})
    assert claims["sts"] == "pending"
    touched = visitor.ask("POST", f"/client/sessions/{session['id']}/touch").json()["response"]
    assert (touched["status"], touched["tasks"]) == ("pending", [{"key": task}])


def test_a_token_with_an_organization_has_chosen_it(sandbox: Sandbox, visitor: Visitor) -> None:
    """The session has the token's organization open, names it in its JWT, and has no task to choose one."""
    sandbox.learn([("user_olga", "olga+task@example.com")])
    made = sandbox.state.tokens.create("user_olga", seconds=60, org_id="org_2Acme")
    assert made is not None
    (session,) = visitor.redeem(made[1]).json()["client"]["sessions"]
    assert (session["status"], session["tasks"]) == ("active", None)
    assert session["last_active_organization_id"] == "org_2Acme"
    (membership,) = session["user"]["organization_memberships"]
    assert membership["organization"]["id"] == "org_2Acme"
    claims = jwt.decode(session["last_active_token"]["jwt"], options={"verify_signature": False})
    assert claims["o"] == {"id": "org_2Acme", "rol": "member", "slg": "org-2acme"}


def test_the_tasks_have_a_page(visitor: Visitor) -> None:
    """The environment names the portal's page, below which clerk-js looks for tasks; it says what is missing."""
    place = visitor.ask("PATCH", "/environment").json()["display_config"]["sign_in_url"]
    answer = visitor.http.get(place)
    assert answer.status_code == 501
    assert "taskUrls" in answer.text
