"""Clerk's own clients work with the sandbox as with Clerk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clerk_backend_api import Clerk

    from campaign.sandbox import Sandbox

# The client has hundreds of files, so it is installed by the extra `dev` only.
pytestmark = pytest.mark.long

USER = "user_2abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Clerk]:
    from clerk_backend_api import Clerk  # noqa: PLC0415 - see above

    sandbox.learn([(USER, "mia+x@example.com")])
    with Clerk(bearer_auth=sandbox.secret_key, server_url=f"{sandbox.clerk_url}/v1") as clerk:
        yield clerk


def test_the_python_client_creates_and_revokes(client: Clerk) -> None:
    """Clerk's Python client reads a created and a revoked token."""
    token = client.sign_in_tokens.create(request={"user_id": USER, "expires_in_seconds": 60})
    assert token is not None
    assert (token.user_id, token.status) == (USER, "pending")
    revoked = client.sign_in_tokens.revoke(sign_in_token_id=token.id)
    assert revoked is not None
    assert (revoked.id, revoked.status) == (token.id, "revoked")


# The client warns about its own deprecated fields, which the sandbox does not use.
@pytest.mark.filterwarnings("ignore:.*DEPRECATED:DeprecationWarning")
def test_the_python_client_lists_users(client: Clerk) -> None:
    """Clerk's Python client reads users with all their fields, by id and by address, and their number."""
    by_id = client.users.list(request={"user_id": [USER, "user_nobody"], "limit": 100})
    by_address = client.users.list(request={"email_address": ["MIA+x@example.com"]})
    assert by_id is not None
    assert by_id == by_address
    (user,) = by_id
    assert user.email_addresses[0].email_address == "mia+x@example.com"
    assert client.users.get(user_id=USER) == user
    counted = client.users.count(request={})
    assert counted is not None
    assert counted.total_count == 1


def test_the_python_client_reads_refusals(client: Clerk) -> None:
    """Clerk's Python client reads the code of a refusal."""
    from clerk_backend_api.models import ClerkErrors  # noqa: PLC0415 - see above

    with pytest.raises(ClerkErrors) as refusal:
        client.sign_in_tokens.create(request={"user_id": "user_nobody"})
    assert refusal.value.data.errors[0].code == "resource_not_found"


def test_the_python_client_works_the_waitlist(client: Clerk) -> None:
    """Clerk's Python client adds waitlist entries, lists and invites them, and creates a user who can get a token."""
    entry = client.waitlist_entries.create(request={"email_address": "wait@example.com"})
    assert entry is not None
    listed = client.waitlist_entries.list()
    assert [each.id for each in listed.data] == [entry.id]
    invited = client.waitlist_entries.invite(waitlist_entry_id=entry.id)
    assert invited is not None
    assert invited.status == "invited"
    made = client.users.create(email_address=["wait@example.com"], skip_password_requirement=True)
    token = client.sign_in_tokens.create(request={"user_id": made.id})
    assert token is not None
    assert token.user_id == made.id


def test_the_python_client_reads_the_public_key(client: Clerk, sandbox: Sandbox) -> None:
    """Clerk's Python client reads the key that the JWTs are signed with."""
    keys = client.jwks.get_jwks()
    assert keys is not None
    assert keys.keys is not None
    assert [key.kid for key in keys.keys] == [sandbox.state.keys.instance]
