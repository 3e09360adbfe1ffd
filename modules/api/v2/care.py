"""`/api/v2/health` and `/api/v2/metrics`: how the service is, for people and for Prometheus."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from modules.api.v2.answers import refusals
from modules.api.v2.callers import Callers
from modules.api.v2.shapes import ErrorOut, HealthOut
from modules.schema import JobState

if TYPE_CHECKING:
    from modules.services.front import Studio


def care_routes(studio: "Studio", callers: Callers, version: str) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["care"])
    registry = CollectorRegistry()
    registry.register(_Queue(studio, version))
    ProcessCollector(registry=registry)

    @router.get("/health", responses=refusals(503))
    def health() -> HealthOut:
        """Whether it is there and the queue moves; 503 with words when the queue cannot be read."""
        counts = studio.counts()
        problem = studio.problem
        return HealthOut(
            status="ok" if problem is None else "degraded",
            version=version,
            running=counts[JobState.RUNNING],
            queued=counts[JobState.QUEUED],
            problem=None if problem is None else ErrorOut.of(problem),
        )

    @router.get(
        "/metrics",
        dependencies=[Depends(callers.owner)],
        response_class=Response,
        responses={
            200: {
                "description": "Prometheus' text format",
                "content": {"text/plain": {"example": 'noisette_jobs{state="queued"} 4.0\n'}},
            },
            **refusals(403, 503),
        },
    )
    def metrics() -> Response:
        """Figures for a monitor: jobs by state, pictures, seconds of work, memory and processor of this process."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


class _Queue(Collector):
    """Reads the rows when it is asked, so that nothing has to be counted along and a restart forgets nothing."""

    def __init__(self, studio: "Studio", version: str) -> None:
        self._studio = studio
        self._version = version

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: the rows are not read before somebody asks."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures now."""
        info = GaugeMetricFamily("noisette_info", "The program", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
        jobs = GaugeMetricFamily("noisette_jobs", "Jobs by state", labels=["state"])
        for state, count in self._studio.counts().items():
            jobs.add_metric([state.value], count)
        yield jobs
        totals = self._studio.totals()
        yield CounterMetricFamily("noisette_pictures", "Pictures saved", value=totals.pictures)
        yield SummaryMetricFamily(
            "noisette_job_seconds",
            "Time that finished jobs took",
            count_value=totals.done,
            sum_value=totals.seconds,
        )
        yield GaugeMetricFamily(
            "noisette_problem",
            "1 while something keeps the queue from moving",
            value=float(self._studio.problem is not None),
        )
