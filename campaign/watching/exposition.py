"""Write the numbers of a watch as Prometheus reads them: `Exposition`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.errors import SettingsError
from campaign.watching.metrics import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from campaign.watching.metrics import Metrics, SeriesKey

#: The text format that every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Scrapes within this many seconds get the same text, so that many of them do not take the time of the sending.
MAX_AGE_S = 1.0


class Exposition:
    """The metrics of a watch and of its process, in a registry of its own.

    Args:
        metrics: the numbers of the watch.

    Raises:
        SettingsError: prometheus-client is not installed.
    """

    def __init__(self, metrics: Metrics) -> None:
        try:
            import prometheus_client  # noqa: PLC0415 - an extra
        except ImportError:
            raise SettingsError("--port needs prometheus-client; type: pip install 'campaign[watch]'") from None
        self._library = prometheus_client
        self._metrics = metrics
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(self)
        prometheus_client.ProcessCollector(registry=self._registry)
        self._text, self._written_at = b"", float("-inf")

    def text(self, now: float) -> bytes:
        """Return all metrics in the text format, at most `MAX_AGE_S` old.

        Args:
            now: seconds, of a clock that never runs backwards.
        """
        if now - self._written_at >= MAX_AGE_S:
            self._text, self._written_at = self._library.generate_latest(self._registry), now
        return self._text

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its numbers, as the registry asks for them."""
        by_metric: dict[str, list[tuple[SeriesKey, float]]] = {family.name: [] for family in FAMILIES}
        for series, value in sorted(self._metrics.series().items()):
            by_metric[series.metric].append((series, value))
        for family in FAMILIES:
            metric = self._library.Metric(family.name.removesuffix("_total"), family.help, family.type)
            for series, value in by_metric[family.name]:
                labels = dict(zip(("campaign", *family.labels), (series.campaign, *series.labels), strict=True))
                metric.add_sample(family.name, labels, value)
            yield metric
