"""The numbers of a watch, as Prometheus' own parser reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from campaign.model import Status, Waiting
from campaign.sendlog import Summary
from campaign.watching.exposition import MAX_AGE_S, Exposition
from campaign.watching.metrics import FAMILIES, ErrorKind, Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Scrape:
    """What a scrape brings."""

    #: The type of each metric, by its name.
    types: Mapping[str, str]
    #: The numbers, by name and labels.
    numbers: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def __call__(self, name: str, **labels: str) -> float | None:
        """Return a number; None if there is no such series."""
        return self.numbers.get((name, frozenset(labels.items())))


def scraped(metrics: Metrics) -> Scrape:
    """Return what Prometheus reads."""
    families = list(text_string_to_metric_families(Exposition(metrics).text(0).decode()))
    return Scrape(
        {family.name: family.type for family in families},
        {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples},
    )


def test_each_attempt_counts_for_its_campaign_and_state() -> None:
    """An attempt counts once, under its campaign and the state in which it left its row."""
    metrics = Metrics()
    metrics.settled("carts", Status.SENT)
    metrics.settled("carts", Status.SENT)
    metrics.settled("carts", Status.QUEUED)
    metrics.settled("news", Status.FAILED)
    metrics.token_issued("carts")
    scrape = scraped(metrics)
    assert scrape("campaign_messages_total", campaign="carts", state="sent") == 2
    assert scrape("campaign_messages_total", campaign="carts", state="queued") == 1
    assert scrape("campaign_messages_total", campaign="news", state="failed") == 1
    assert scrape("campaign_messages_total", campaign="news", state="sent") is None
    assert scrape("campaign_tokens_total", campaign="carts") == 1


def test_rows_and_causes_are_those_of_the_last_summary() -> None:
    """Rows and causes of waiting follow the summary down as well as up, and a cause that is gone is 0."""
    metrics = Metrics()
    metrics.waiting("carts", Summary("carts", {Status.QUEUED: 7, Status.SENT: 1}, waiting={Waiting.DUE: 5}))
    metrics.waiting("carts", Summary("carts", {Status.QUEUED: 3, Status.SENT: 5}, waiting={Waiting.QUOTA: 3}))
    scrape = scraped(metrics)
    rows = {status: scrape("campaign_rows", campaign="carts", state=status.value) for status in Status}
    assert rows == dict.fromkeys(Status, 0.0) | {Status.QUEUED: 3.0, Status.SENT: 5.0}
    causes = {cause: scrape("campaign_waiting", campaign="carts", cause=cause.value) for cause in list(Waiting)[1:]}
    assert causes == dict.fromkeys(list(Waiting)[1:], 0.0) | {Waiting.QUOTA: 3.0}


def test_the_counters_of_a_campaign_begin_at_zero() -> None:
    """Each counter is there from the start of a campaign, so that its first increase can be seen."""
    metrics = Metrics()
    metrics.campaign_loaded("carts")
    scrape = scraped(metrics)
    assert scrape("campaign_messages_total", campaign="carts", state="sent") == 0
    assert scrape("campaign_tokens_total", campaign="carts") == 0
    assert scrape("campaign_file_refused_total", campaign="carts") == 0
    for kind in ErrorKind:
        assert scrape("campaign_errors_total", campaign="carts", kind=kind.value) == 0


def test_a_campaign_that_is_loaded_again_keeps_its_counts() -> None:
    """Loading a changed file sets nothing back, and says that the file as it is now is in use."""
    metrics = Metrics()
    metrics.campaign_loaded("carts")
    metrics.settled("carts", Status.SENT)
    metrics.campaign_refused("carts")
    assert scraped(metrics)("campaign_file_last_load_successful", campaign="carts") == 0
    metrics.campaign_loaded("carts")
    scrape = scraped(metrics)
    assert scrape("campaign_file_last_load_successful", campaign="carts") == 1
    assert scrape("campaign_file_loaded_total", campaign="carts") == 2
    assert scrape("campaign_file_refused_total", campaign="carts") == 1
    assert scrape("campaign_messages_total", campaign="carts", state="sent") == 1


def test_the_kind_of_an_error_is_one_of_a_few() -> None:
    """A kind that nobody foresaw, such as a whole sentence, is counted as other: labels have few values."""
    metrics = Metrics()
    metrics.error("carts", "service")
    metrics.error("carts", ErrorKind.LOG)
    metrics.error("carts", "451 4.7.1 ada@example.com: try later")
    numbers = metrics.series()
    assert {key.labels[0]: number for key, number in numbers.items()} == {"service": 1, "log": 1, "other": 1}


def test_the_end_of_a_cycle_is_a_timestamp() -> None:
    """The last cycle is shown in seconds since the epoch, to the millisecond."""
    metrics = Metrics()
    metrics.cycle_ended("carts", at=1_796_000_000.125)
    assert scraped(metrics)("campaign_last_cycle_timestamp_seconds", campaign="carts") == 1_796_000_000.125


def test_names_and_types_follow_the_conventions_of_prometheus() -> None:
    """Each metric begins with `campaign_`, a counter ends in `_total` and nothing else does, a time in `_seconds`."""
    for family in FAMILIES:
        assert family.name.startswith("campaign_")
        assert family.name.endswith("_total") == (family.type == "counter")
        assert ("timestamp" in family.name) == family.name.endswith("_timestamp_seconds")
        assert family.help.endswith(".")


def test_a_scrape_has_every_metric_and_those_of_the_process() -> None:
    """A watch without a campaign shows all metrics with their types, and the process's own."""
    types = scraped(Metrics()).types
    assert {family.name.removesuffix("_total"): family.type for family in FAMILIES}.items() <= types.items()
    assert types["process_resident_memory_bytes"] == "gauge"


def test_scrapes_within_a_second_get_the_same_text() -> None:
    """A second scrape at the same time costs no second rendering; a later one is up to date."""
    metrics = Metrics()
    exposition = Exposition(metrics)
    first = exposition.text(10.0)
    metrics.token_issued("carts")
    assert exposition.text(10.0 + MAX_AGE_S / 2) is first
    assert b'campaign_tokens_total{campaign="carts"} 1.0' in exposition.text(10.0 + MAX_AGE_S)
