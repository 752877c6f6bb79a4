"""Devices that exist only on paper."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloud_hub.devices.labels import check_labels
from cloud_hub.devices.selectors import matches
from cloud_hub.devices.store import DeviceFilter
from cloud_hub.devices.views import PRESENCES, DeviceEventView, DeviceView, FleetSummary, RunningView
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.page import Page, PageRequest
from tests.fakes.paper_hub.views import because, page_of
from tests.fakes.selecting import PaperDevice


@dataclass
class FakeDevices:
    now: Callable[[], datetime]
    devices: dict[str, DeviceView] = field(default_factory=dict)

    def page(self, wanted: DeviceFilter, request: PageRequest) -> Page[DeviceView]:
        name = (request.sort or "id").removeprefix("-")
        if name not in ("id", "target", "presence", "last_heard_at"):
            raise Invalid(f"This list cannot be sorted by {name!r}.", "Sort by id.", code="sort-unknown")
        found = [one for one in self.devices.values() if _fits(one, wanted)]
        found.sort(key=lambda one: (str(getattr(one, name)), one.id), reverse=(request.sort or "").startswith("-"))
        return page_of(found, request)

    def get(self, device: str) -> DeviceView:
        if device not in self.devices:
            raise NotFound(
                f"There is no device {device!r}.", "`vedette devices list` shows all.", code="device-unknown"
            )
        return self.devices[device]

    def events(self, device: str, request: PageRequest) -> Page[DeviceEventView]:
        one, now = self.get(device), self.now()
        events = [
            DeviceEventView(
                number=1,
                at=one.joined_at,
                kind="joined",
                model=None,
                phase=None,
                version=None,
                because=because("joined", "Joined with a token that was made for it."),
            )
        ]
        for number, model in enumerate(one.models, 2):
            events.insert(
                0,
                DeviceEventView(
                    number=number,
                    at=min(model.since, now),
                    kind="phase",
                    model=model.model,
                    phase=model.phase,
                    version=model.running.version if model.running else None,
                    because=model.because,
                ),
            )
        return page_of(events, request)

    def summary(self) -> FleetSummary:
        all_of = list(self.devices.values())
        running: dict[tuple[str, int], int] = {}
        for one in all_of:
            for model in one.models:
                if model.running:
                    key = (model.model, model.running.version)
                    running[key] = running.get(key, 0) + 1
        targets: dict[str, int] = {}
        for one in all_of:
            targets[one.target] = targets.get(one.target, 0) + 1
        return FleetSummary(
            total=len(all_of),
            presence={name: sum(one.presence == name for one in all_of) for name in PRESENCES},
            targets=targets,
            running=[RunningView(model=m, version=v, devices=n) for (m, v), n in sorted(running.items())],
            troubled=sum(_troubled(one) for one in all_of),
        )

    def relabel(self, device: str, labels: Mapping[str, str | None]) -> DeviceView:
        found = {key: value for key, value in {**self.get(device).labels, **labels}.items() if value is not None}
        self.change(device, labels=check_labels(found))
        return self.get(device)

    def change(self, device: str, **fields: Any) -> None:
        self.devices[device] = self.devices[device].model_copy(update=fields)


def _troubled(one: DeviceView) -> bool:
    return bool(one.troubles or one.refused or any(model.phase == "rejected" for model in one.models))


def _described(one: DeviceView) -> PaperDevice:
    running = {model.model: model.running.version for model in one.models if model.running}
    return PaperDevice(one.id, one.target, one.labels, one.agent_version, running)


def _fits(one: DeviceView, wanted: DeviceFilter) -> bool:
    text = f"{one.id} {one.hostname} {' '.join(one.labels.values())}"
    models = [
        model
        for model in one.models
        if (not wanted.model or model.model == wanted.model)
        and (wanted.version is None or (model.running is not None and model.running.version == wanted.version))
        and (not wanted.phase or model.phase == wanted.phase)
        and (not wanted.rollout or model.rollout == wanted.rollout)
    ]
    by_model = wanted.model or wanted.version is not None or wanted.phase or wanted.rollout
    return (
        (not wanted.q or wanted.q in text)
        and wanted.labels.items() <= one.labels.items()
        and matches(wanted.selector, _described(one))
        and (not wanted.target or one.target == wanted.target)
        and (not wanted.presence or one.presence == wanted.presence)
        and (not wanted.troubled or _troubled(one))
        and (not by_model or bool(models))
    )
