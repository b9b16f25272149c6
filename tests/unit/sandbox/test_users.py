"""The sandbox's Clerk users, made from the recipients of campaigns."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from campaign.sandbox.backend_users import user_object
from campaign.sandbox.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """A state in a folder of its own."""
    opened = State(tmp_path / "state")
    yield opened
    opened.close()


def addresses(state: State, user_id: str) -> list[str]:
    user = state.users.get(user_id)
    assert user is not None
    return [address.address for address in user.addresses]


def test_people_are_known_by_their_ids(state: State) -> None:
    """Learned people become users with the address as written, and learning them again changes nothing."""
    for _ in range(2):
        state.users.learn([("user_1", "Mia@Example.com"), ("user_2", "ann@example.com")])
    assert addresses(state, "user_1") == ["Mia@Example.com"]
    assert state.users.count() == 2


def test_a_second_address_is_added(state: State) -> None:
    """A known user gets a new address beside the old one."""
    state.users.learn([("user_1", "mia@example.com"), ("user_1", "mia@work.example")])
    state.users.learn([("user_1", "MIA@example.com")])
    assert addresses(state, "user_1") == ["mia@example.com", "mia@work.example"]


def test_people_without_an_id_are_known_by_address(state: State) -> None:
    """An address without an id gets one user, always the same, unless a user has the address already."""
    state.users.learn([("user_1", "mia@example.com")])
    state.users.learn([(None, "Mia@example.com"), (None, "ann@example.com"), (None, "ANN@example.com")])
    (ann,) = state.users.find(addresses=["ann@example.com"])
    assert [user.id for user in state.users.find(addresses=["mia@example.com"])] == ["user_1"]
    assert ann.id.startswith("user_")
    assert len(ann.id) == len("user_") + 27
    assert state.users.count() == 2


def test_fates_bear_on_what_clerk_knows(state: State) -> None:
    """`+nouser` is unknown, `+mismatch` has another address, `+banned` is banned and `+locked` is locked."""
    names = ["nouser", "mismatch", "banned", "locked", "bounce"]
    state.users.learn((f"user_{name}", f"mia+{name}@example.com") for name in names)
    assert state.users.get("user_nouser") is None
    assert addresses(state, "user_mismatch") == ["other.mia@example.com"]
    found = {user.id: (user.banned, user.locked) for user in state.users.find()}
    assert found == {
        "user_mismatch": (False, False),
        "user_banned": (True, False),
        "user_locked": (False, True),
        "user_bounce": (False, False),
    }


def test_an_unverified_address_is_told_as_such(state: State) -> None:
    """`+unverified` has an address that Clerk has not verified; every other address is verified."""
    state.users.learn([("user_a", "mia+unverified@example.com"), ("user_b", "mia@example.com")])
    told = {user.id: user_object(user)["email_addresses"][0]["verification"]["status"] for user in state.users.find()}
    assert told == {"user_a": "unverified", "user_b": "verified"}


@pytest.mark.long
def test_many_people_are_learned_in_little_memory(state: State) -> None:
    """People are read one at a time: thirty thousand need only a few megabytes."""
    tracemalloc.start()
    try:
        state.users.learn((f"user_{number}", f"person{number}@example.com") for number in range(30_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert state.users.count() == 30_000
    assert peak < 4_000_000
