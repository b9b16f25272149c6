"""Campaigns that are watched together: names of their own, the same services, and the strictest of their limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from campaign.config.settings import Settings, parse_smtp_url
from campaign.delivery.services import Services
from campaign.errors import DefinitionError, SettingsError
from campaign.watching.version import (
    CampaignVersion,
    require_own_names,
    require_same_services,
    shared_rates,
    stricter_limits,
)
from support.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICES = Services(Path("/none"), parse_smtp_url("smtp://127.0.0.1:9?tls=none"), "http://127.0.0.1:9", None, ())


@pytest.fixture
def version(tmp_path: Path) -> Callable[..., CampaignVersion]:
    """Return a function that makes a campaign with a name, limits and settings."""

    def make(name: str, limits: str = "", *, link: bool = False, **settings: str) -> CampaignVersion:
        folder = tmp_path / name
        folder.mkdir()
        work = Workspace(folder).write(1, link=link, more=f"[limits]\n{limits}\n")
        text = work.file.read_text(encoding="utf-8").replace('name = "trial"', f'name = "{name}"')
        work.file.write_text(text, encoding="utf-8")
        return CampaignVersion.load(work.file, Settings(**cast("dict[str, Any]", settings)))

    return make


def test_two_files_of_one_name_are_refused(version: Callable[..., CampaignVersion]) -> None:
    """The sentence names both files and the line to change."""
    one = version("cart")
    with pytest.raises(DefinitionError, match=r"cart/campaign\.toml: the campaign is called 'cart', as that of .*cart"):
        require_own_names([one, version("other"), one])
    require_own_names([one])


def test_different_send_logs_are_refused(version: Callable[..., CampaignVersion], tmp_path: Path) -> None:
    """By default each folder has a log of its own; one setting makes it one."""
    smtp = {"CAMPAIGN_SMTP_URL": "smtps://u:p@mail.example:465", "CLERK_SECRET_KEY": "sk_test_1"}
    one, two = version("one", **smtp), version("two", **smtp)
    with pytest.raises(SettingsError, match=r"different send logs .*CAMPAIGN_LOG.*Set it in the environment"):
        require_same_services([one, two], sandbox=False)
    log = {"CAMPAIGN_LOG": str(tmp_path / "both.db")}
    require_same_services([version("a", **smtp, **log), version("b", **smtp, **log)], sandbox=False)
    require_same_services([one, two], sandbox=True)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"CAMPAIGN_SMTP_URL": "smtps://u:p@else.example:465"}, "mail servers"),
        ({"CLERK_SECRET_KEY": "sk_test_2"}, "secret keys"),
    ],
)
def test_different_services_are_refused(
    version: Callable[..., CampaignVersion], tmp_path: Path, other: dict[str, str], said: str
) -> None:
    """One watch has one mail server and one key; the sentence shows neither password nor key."""
    settings = {
        "CAMPAIGN_SMTP_URL": "smtps://u:hidden@mail.example:465",
        "CLERK_SECRET_KEY": "sk_test_1",
        "CAMPAIGN_LOG": str(tmp_path / "both.db"),
    }
    with pytest.raises(SettingsError, match=f"different {said}") as refused:
        require_same_services([version("one", **settings), version("two", **settings | other)], sandbox=False)
    assert "hidden" not in str(refused.value)
    assert "sk_test" not in str(refused.value)


def test_all_rates_are_kept_so_the_strictest_holds(version: Callable[..., CampaignVersion]) -> None:
    """The rates of all campaigns hold for each of them, and the smallest number of connections."""
    one = version("one", 'messages = "14/second"\nconnections = 5\ndomains = { "gmail.com" = "5/second" }')
    two = version("two", 'messages = ["10/second", "50000/day"]\ndomains = { "gmail.com" = "7/second" }')
    rates = shared_rates([one, two], SERVICES)
    assert list(map(str, rates.messages)) == ["14/second", "10/second", "50000/day"]
    assert list(map(str, rates.domains["gmail.com"])) == ["5/second", "7/second"]
    assert (rates.connections, rates.tokens) == (5, None)


def test_a_limit_that_a_file_does_not_say_is_named(version: Callable[..., CampaignVersion]) -> None:
    """The operator learns which campaign is sent slower than its own file says, and of no other."""
    one = version("one", 'messages = "14/second"', link=True)
    two = version("two")
    assert stricter_limits([one], SERVICES) == []
    (said,) = stricter_limits([one, two], SERVICES)
    assert (
        said == "[limits] messages is not the same in all campaigns: 14/second holds for all of them, so also for two"
    )


def test_what_is_watched_of_a_campaign(version: Callable[..., CampaignVersion]) -> None:
    """A campaign is its file and its templates; the CSV stands apart."""
    found = version("one")
    folder = found.definition.folder
    assert found.sources == {folder / "campaign.toml", folder / "email.html", folder / "email.txt"}
    assert found.csv == folder / "people.csv"
