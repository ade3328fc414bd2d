"""What the service tells Prometheus: requests, seconds, inputs that wait, and what the pipeline has done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI, Request, Response

    from facestats.surfaces.pipeline.pipeline import CharacterPipeline
    from facestats.surfaces.service.batching import Gatherer

STATS = ("processed", "errors", "cache_hits", "cache_misses")


class Metrics:
    """Counts and times in a registry of their own.

    Parameters
    ----------
    gatherer
        Knows how many inputs wait.
    pipeline
        Knows what was done since the start; asked once per scrape.
    """

    def __init__(self, gatherer: Gatherer[Any, Any], pipeline: CharacterPipeline) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "facestats_requests", "Requests by path and status code", ["path", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "facestats_request_seconds", "Seconds per request", ["path"], registry=self.registry
        )
        waiting = Gauge("facestats_waiting", "Inputs that wait", registry=self.registry)
        waiting.set_function(lambda: gatherer.waiting)
        self.registry.register(_Stats(pipeline))

    def count(self, app: FastAPI) -> None:
        """Count the requests of an application."""

        @app.middleware("http")
        async def count(request: Request, call_next: Any) -> Response:
            begun = time.perf_counter()
            response = await call_next(request)
            path = request.scope["route"].path if request.scope.get("route") else "other"
            self.requests.labels(path, str(response.status_code)).inc()
            self.seconds.labels(path).observe(time.perf_counter() - begun)
            response.headers["X-Content-Type-Options"] = "nosniff"
            return response


class _Stats(Collector):
    """All that the pipeline counts, from one look at it: it may have to wait for the cache."""

    def __init__(self, pipeline: CharacterPipeline) -> None:
        self._pipeline = pipeline

    def collect(self) -> Iterator[GaugeMetricFamily]:
        stats = self._pipeline.get_stats()
        for name in STATS:
            yield GaugeMetricFamily(
                f"facestats_{name}", f"{name.replace('_', ' ')} since the start", stats[name]
            )
        yield GaugeMetricFamily("facestats_cache_entries", "Answers in the cache", stats["cache_entries"])
