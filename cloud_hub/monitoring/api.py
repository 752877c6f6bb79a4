"""Charts over HTTP. Wiring: `router(monitoring)`, included under /api/v1."""

from typing import Annotated

from fastapi import APIRouter, Query

from cloud_hub.monitoring.service import MAX_MINUTES, MonitoringService
from cloud_hub.monitoring.views import SeriesView


def router(monitoring: MonitoringService) -> APIRouter:
    """The routes of monitoring."""
    routes = APIRouter(prefix="/monitoring", tags=["monitoring"])

    @routes.get("/series")
    def series(
        model: Annotated[str, Query(min_length=1, max_length=63)],
        device: Annotated[str | None, Query(max_length=63)] = None,
        minutes: Annotated[int, Query(ge=1, le=MAX_MINUTES)] = 15,
    ) -> SeriesView:
        """What a model did over the last minutes, by version: rates, errors, latencies, predictions."""
        return monitoring.series(model, device=device, minutes=minutes)

    return routes
