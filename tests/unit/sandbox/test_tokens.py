"""Sign-in tokens of the sandbox: used once, and revoked told apart from expired."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from campaign.sandbox.state import State
from campaign.sandbox.tokens import TokenStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.sandbox.tokens import StoredToken


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """A state that knows two users."""
    opened = State(tmp_path / "state")
    opened.users.learn([("user_1", "mia@example.com"), ("user_2", "ann@example.com")])
    yield opened
    opened.close()


def mint(state: State, user_id: str = "user_1", *, seconds: int = 60) -> tuple[StoredToken, str]:
    created = state.tokens.create(user_id, seconds=seconds)
    assert created is not None
    return created


def status(state: State, token: StoredToken) -> TokenStatus:
    found = state.tokens.get(token.id)
    assert found is not None
    return found.status


def test_of_many_who_race_for_a_token_one_wins(tmp_path: Path, state: State) -> None:
    """If many redeem a token at once, through two connections to the state, exactly one succeeds."""
    other = State(tmp_path / "state")
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            token, _ = mint(state)
            won = list(pool.map(lambda view, wanted=token.id: view.tokens.redeem(wanted), [state, other] * 4))
            assert won.count(True) == 1
            assert status(other, token) is TokenStatus.ACCEPTED
    other.close()


def test_a_revoked_token_signs_nobody_in(state: State) -> None:
    """A revoked token cannot be redeemed and an accepted one cannot be revoked: both states are final."""
    revoked, _ = mint(state)
    assert state.tokens.revoke(revoked.id)
    assert not state.tokens.redeem(revoked.id)
    used, _ = mint(state)
    assert state.tokens.redeem(used.id)
    assert not state.tokens.revoke(used.id)
    assert not state.tokens.expire(used.id)
    assert (status(state, revoked), status(state, used)) == (TokenStatus.REVOKED, TokenStatus.ACCEPTED)


def test_an_expired_token_still_reads_pending(state: State) -> None:
    """An expired token cannot be redeemed; Clerk has no status for it, so its status stays `pending`."""
    token, _ = mint(state)
    assert not token.expired
    assert state.tokens.expire(token.id)
    assert not state.tokens.redeem(token.id)
    found = state.tokens.get(token.id)
    assert found is not None
    assert found.expired
    assert found.status is TokenStatus.PENDING


def test_a_ticket_names_its_token(tmp_path: Path, state: State) -> None:
    """A ticket is decoded to its token's id; a forged one, another sandbox's, and a session's JWT are refused."""
    token, ticket = mint(state)
    assert state.tokens.id_in(ticket) == token.id
    head, claims, signature = ticket.split(".")
    other = State(tmp_path / "other")
    assert other.tokens.id_in(ticket) is None
    other.close()
    assert state.tokens.id_in(f"{head}.{claims}.{signature[::-1]}") is None
    assert state.tokens.id_in("forged") is None
    assert state.tokens.id_in(state.keys.sign({"sid": "sess_1", "sub": "user_1"})) is None


def test_tokens_are_listed_by_user(state: State) -> None:
    """Tokens are listed newest first, all or those of one user; an unknown user has none."""
    first, _ = mint(state)
    second, _ = mint(state, "user_2")
    third, _ = mint(state)
    assert [token.id for token in state.tokens.find()] == [third.id, second.id, first.id]
    assert [token.id for token in state.tokens.find(user_id="user_1")] == [third.id, first.id]
    assert [token.id for token in state.tokens.find(limit=1, offset=1)] == [second.id]
    assert state.tokens.create("user_nobody", seconds=60) is None
    assert state.tokens.get("sit_nothing") is None
