"""Charts, and labels that arrive late, over HTTP. Wiring: `router(monitoring, labels)`, included under /api/v1."""

from typing import Annotated

from fastapi import APIRouter, Header, Query

from cloud_hub.access.actor import Actor
from cloud_hub.monitoring.labels import LabelService
from cloud_hub.monitoring.service import MAX_MINUTES, MonitoringService
from cloud_hub.monitoring.views import LabelsIn, LabelsView, SeriesView

#: Without one, a request that was sent again would count twice.
LabelsKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,128}$",
        description="Names this request: sent again, it counts nothing twice",
    ),
]


def router(monitoring: MonitoringService, labels: LabelService) -> APIRouter:
    """The routes of monitoring."""
    routes = APIRouter(tags=["monitoring"])

    @routes.post("/models/{model}/labels", summary="Tell true labels that arrive late")
    def take(model: str, said: LabelsIn, by: Actor, key: LabelsKey) -> LabelsView:
        """They count as those that devices know themselves: in evidence, and so in gates."""
        return labels.take(model, said, key, by)

    @routes.get("/monitoring/series")
    def series(
        model: Annotated[str, Query(min_length=1, max_length=63)],
        device: Annotated[str | None, Query(max_length=63)] = None,
        minutes: Annotated[int, Query(ge=1, le=MAX_MINUTES)] = 15,
    ) -> SeriesView:
        """What a model did over the last minutes, by version: rates, errors, latencies, predictions."""
        return monitoring.series(model, device=device, minutes=minutes)

    return routes
