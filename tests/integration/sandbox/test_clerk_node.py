"""Clerk's client for Node, `@clerk/backend`, works with the sandbox as with Clerk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.browser import npm
from support.sandbox.visitor import Visitor

if TYPE_CHECKING:
    from campaign.sandbox import Sandbox

#: Prints one JSON object with the client's result of each call.
PROGRAM = """
import { createClerkClient, verifyToken } from "@clerk/backend";

const { apiUrl, secretKey, session } = JSON.parse(process.env.CASE);
const clerk = createClerkClient({ secretKey, apiUrl, telemetry: { disabled: true } });
const codes = async (call) => {
  try {
    await call;
    return [];
  } catch (error) {
    return [error.status, error.errors?.[0]?.code, error.clerkTraceId?.length];
  }
};
const created = await clerk.signInTokens.createSignInToken({ userId: "user_1", expiresInSeconds: 60 });
const revoked = await clerk.signInTokens.revokeSignInToken(created.id);
const users = await clerk.users.getUserList({ emailAddress: ["MIA+x@example.com", "nobody@example.com"] });
const claims = await verifyToken(session, { secretKey, apiUrl });
console.log(JSON.stringify({
  created: [created.userId, created.status, created.token.split(".").length],
  revoked: [revoked.id === created.id, revoked.status],
  twice: await codes(clerk.signInTokens.revokeSignInToken(created.id)),
  unknown: await codes(clerk.signInTokens.createSignInToken({ userId: "user_nobody", expiresInSeconds: 60 })),
  invalid: await codes(clerk.signInTokens.createSignInToken({ userId: "user_1", expiresInSeconds: 0 })),
  forged: await codes(createClerkClient({ secretKey: "sk_test_1", apiUrl }).users.getCount()),
  users: [users.totalCount, users.data.map((user) => [user.id, user.primaryEmailAddress.emailAddress, user.banned])],
  session: [claims.sub, claims.azp],
}));
"""


@pytest.fixture
def project() -> str:
    """A folder in which Node finds `@clerk/backend`."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: it runs Clerk's client")
    return str(npm.project("clerk-backend", {"@clerk/backend": "3.25.0"}))


def test_the_node_client_reads_every_answer(sandbox: Sandbox, project: str) -> None:
    """Clerk's Node client creates and revokes tokens, lists users, reads refusals, and verifies a session's JWT."""
    sandbox.learn([("user_1", "mia+x@example.com")])
    with Visitor(sandbox) as visitor:
        created = sandbox.state.tokens.create("user_1", seconds=60)
        assert created is not None
        session = visitor.redeem(created[1]).json()["client"]["sessions"][0]["last_active_token"]["jwt"]
    case = {"apiUrl": sandbox.clerk_url, "secretKey": sandbox.secret_key, "session": session}
    ran = subprocess.run(
        ["node", "--input-type=module", "--eval", PROGRAM],
        cwd=project,
        env={"PATH": os.environ["PATH"], "CASE": json.dumps(case), "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "created": ["user_1", "pending", 3],
        "revoked": [True, "revoked"],
        "twice": [400, "sign_in_token_cannot_be_revoked_code", 32],
        "unknown": [404, "resource_not_found", 32],
        "invalid": [422, "form_param_value_invalid", 32],
        "forged": [401, "clerk_key_invalid", 32],
        "users": [1, [["user_1", "mia+x@example.com", False]]],
        "session": ["user_1", "http://localhost:3000"],
    }
