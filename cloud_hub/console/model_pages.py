"""Models: the list, and one model with its versions, artifacts and the evidence they were registered with."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from fastapi import APIRouter, Request, Response

from cloud_hub.console.drawing import Drawing, bins, histogram
from cloud_hub.console.parts import Parts
from cloud_hub.console.query import Query
from cloud_hub.console.render import Renderer
from cloud_hub.console.running import RunningModel, RunningPart, by_model
from cloud_hub.page import Page, PageRequest
from cloud_hub.releases.views import ModelView, VersionView
from cloud_hub.rollouts.views import RolloutView

_ROLLOUTS_SHOWN = 8


class _Running:
    """Which versions run where."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @cached_property
    def _running(self) -> Mapping[str, RunningModel]:
        return {model.name: model for model in by_model(self._parts.devices.summary().running)}

    def running_of(self, model: str) -> tuple[RunningPart, ...]:
        found = self._running.get(model)
        return found.parts if found else ()


class Models(_Running):
    """The list."""

    def __init__(self, parts: Parts, query: Query) -> None:
        super().__init__(parts)
        self._query, self.seen = query, query.seen

    @cached_property
    def page(self) -> Page[ModelView]:
        return self._parts.releases.models(self._query.page())


class OneModel(_Running):
    """One model's page."""

    def __init__(self, parts: Parts, name: str, query: Query) -> None:
        super().__init__(parts)
        self._query, self.seen = query, query.seen
        self.model = parts.releases.model(name)

    @cached_property
    def page(self) -> Page[VersionView]:
        return self._parts.releases.versions(self.model.name, self._query.page(limit=20))

    def devices_on(self, version: int) -> int:
        return sum(part.devices for part in self.running_of(self.model.name) if part.version == version)

    @cached_property
    def rollouts(self) -> Page[RolloutView]:
        return self._parts.rollouts.page(PageRequest(limit=_ROLLOUTS_SHOWN), model=self.model.name)

    @staticmethod
    def built_at(manifest: Mapping[str, Any]) -> datetime:
        return datetime.fromisoformat(manifest["provenance"]["built_at"])

    @staticmethod
    def predictions(manifest: Mapping[str, Any]) -> Drawing | None:
        """What it predicted on held-out data when it was built."""
        counts = [manifest["reference"]["predictions"].get(label, 0) for label in manifest["labels"]]
        return histogram(manifest["labels"], {"treated": counts}, {"treated": "held-out data"})

    @staticmethod
    def confidence(manifest: Mapping[str, Any]) -> Drawing | None:
        """How sure it was on held-out data when it was built."""
        reference = manifest["reference"]["confidence"]
        return histogram(bins(reference["edges"]), {"treated": reference["counts"]}, {"treated": "held-out data"})


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/models` and `/models/NAME`."""
    api = APIRouter()

    @api.get("/models")
    def models(request: Request) -> Response:
        subjects = ("models", "devices")
        return renderer.page(request, "models.html", view=Models(parts, Query(request)), subjects=subjects)

    @api.get("/models/{name}")
    def model(request: Request, name: str) -> Response:
        subjects = ("models", "rollouts", "devices")
        return renderer.page(request, "model.html", view=OneModel(parts, name, Query(request)), subjects=subjects)

    return api
