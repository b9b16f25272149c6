"""Write the numbers of a watch as Prometheus reads them: `Exposition`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.errors import SettingsError
from campaign.watching.metrics import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from campaign.watching.metrics import Metrics

#: The text format that every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


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

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return self._library.generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its numbers, as the registry asks for them."""
        numbers = sorted(self._metrics.series().items())
        for family in FAMILIES:
            metric = self._library.Metric(family.name.removesuffix("_total"), family.help, family.type)
            for series, value in numbers:
                if series.metric == family.name:
                    labels = dict(zip(("campaign", *family.labels), (series.campaign, *series.labels), strict=True))
                    metric.add_sample(family.name, labels, value)
            yield metric
