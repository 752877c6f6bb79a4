"""The fleet on one page: who is there, what runs, what is being rolled out and why, and what is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from fastapi import APIRouter, Request, Response

from cloud_hub.console.actions import waits_for_approval
from cloud_hub.console.activity import Activity
from cloud_hub.console.parts import Parts
from cloud_hub.console.render import Renderer
from cloud_hub.console.running import RunningModel, by_model
from cloud_hub.devices.store import DeviceFilter
from cloud_hub.devices.views import FleetSummary
from cloud_hub.page import PageRequest
from cloud_hub.rollouts.views import LatestDecisionView, RolloutView

#: What moves, and what waits for a person to decide.
UNDER_WAY = ("running", "paused", "stopped", "reverting")
_TROUBLED_SHOWN = 5
_ACTIVE_SHOWN = 5


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong: on a device, or on the hub where `device` is None."""

    device: str | None
    sentence: str


class Overview(Activity):
    """What the page shows; each part is asked for only when it is rendered."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.monitoring, _models(parts))
        self._parts = parts

    @cached_property
    def summary(self) -> FleetSummary:
        return self._parts.devices.summary()

    @property
    def presences(self) -> list[tuple[str, int]]:
        return [(name, number) for name, number in self.summary.presence.items() if number]

    @property
    def presence_sentence(self) -> str:
        away = [f"{number:,} {name}" for name, number in self.presences if name != "online"]
        return ", ".join(away) or ("all in time" if self.summary.total else "none has joined")

    @cached_property
    def troubles(self) -> list[Trouble]:
        found = [Trouble(None, because.sentence) for because in self._parts.troubles()]
        if self.summary.troubled:
            troubled = self._parts.devices.page(DeviceFilter(troubled=True), PageRequest(limit=_TROUBLED_SHOWN))
            for device in troubled.items:
                rejected = [model.because for model in device.models if model.phase == "rejected"]
                because = [*device.troubles, *([device.refused] if device.refused else []), *rejected]
                found += [Trouble(device.id, one.sentence) for one in because]
        return found

    @cached_property
    def active(self) -> list[RolloutView]:
        return [
            one
            for state in UNDER_WAY
            for one in self._parts.rollouts.page(PageRequest(limit=_ACTIVE_SHOWN), state=state).items
        ]

    @staticmethod
    def waits(rollout: RolloutView) -> bool:
        return waits_for_approval(rollout)

    @cached_property
    def newest(self) -> RolloutView | None:
        return next(iter(self._parts.rollouts.page(PageRequest(limit=1)).items), None)

    @cached_property
    def decisions(self) -> Sequence[LatestDecisionView]:
        return self._parts.rollouts.latest_decisions(limit=8)

    @property
    def running(self) -> list[RunningModel]:
        return by_model(self.summary.running)


def _models(parts: Parts) -> list[str]:
    return [model.name for model in parts.releases.models(PageRequest(limit=500)).items]


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/`."""
    api = APIRouter()

    @api.get("/")
    def overview(request: Request) -> Response:
        subjects = ("devices", "rollouts", "telemetry")
        return renderer.page(request, "overview.html", view=Overview(parts), subjects=subjects, charts=True)

    return api
