"""What the service reports to Prometheus: requests, seconds, waiting inputs, and the counts of the pipeline."""

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
    from facestats.surfaces.service.batching import Batcher


class Metrics:
    """Count requests and their seconds, in a registry of its own.

    Parameters
    ----------
    batcher
        Knows how many inputs wait.
    pipeline
        Knows its counts since the start; it is asked once per scrape.
    """

    def __init__(self, batcher: Batcher[Any, Any], pipeline: CharacterPipeline) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "facestats_requests", "Requests by path and status code", ["path", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "facestats_request_seconds", "Seconds per request", ["path"], registry=self.registry
        )
        waiting = Gauge("facestats_waiting", "Number of inputs that wait", registry=self.registry)
        waiting.set_function(lambda: batcher.waiting)
        self.registry.register(_Stats(pipeline))

    def count(self, app: FastAPI) -> None:
        """Count the requests of an application from now on."""

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
    """All counts of the pipeline, asked for once: they may have to wait for the cache."""

    def __init__(self, pipeline: CharacterPipeline) -> None:
        self._pipeline = pipeline

    def collect(self) -> Iterator[GaugeMetricFamily]:
        stats = self._pipeline.get_stats()
        cache = stats["cache_stats"]
        counts = {
            "processed": stats["processed_count"],
            "errors": stats["error_count"],
            "cache_hits": cache["hits"],
            "cache_misses": cache["misses"],
        }
        for name, count in counts.items():
            yield GaugeMetricFamily(f"facestats_{name}", f"{name.replace('_', ' ')} since the start", count)
        yield GaugeMetricFamily("facestats_cache_entries", "Number of answers in the cache", cache["entries"])
