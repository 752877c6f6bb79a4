"""Devices: the list with its filters, and one device with what it runs, why, and what it went through."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from cloud_hub.console import actor
from cloud_hub.console.activity import Activity
from cloud_hub.console.parts import Parts
from cloud_hub.console.query import Query
from cloud_hub.console.render import Renderer
from cloud_hub.devices.labels import parse_labels
from cloud_hub.devices.selector_text import SelectorWrong, parse
from cloud_hub.devices.selectors import EVERYONE, Selector, SelectorTooLarge
from cloud_hub.devices.store import DeviceFilter
from cloud_hub.devices.views import PRESENCES, DeviceEventView, DeviceView
from cloud_hub.errors import Invalid
from cloud_hub.page import Page, PageRequest
from cloud_hub.rollouts.views import PinView, RanView
from fleet_contract.desired import DEFAULT_SLOT
from fleet_contract.report import Phase

_EVENTS_SHOWN = 20
_COLUMNS = (
    ("Device", "id", ""),
    ("Heard", "last_heard_at", ""),
    ("Target", "target", "wide"),
    ("Runs", "", ""),
    ("Labels", "", "wide"),
    ("Spool", "", "wide number"),
)


@dataclass(frozen=True)
class Column:
    """A column's head. `sort` is what a click asks for; `order` is how the list is sorted by it now, if it is."""

    text: str
    css: str
    sort: str | None
    order: str | None


class Devices:
    """The list. Everything in it comes from the address, so that it can be sent and returned to."""

    presences = PRESENCES
    phases = tuple(phase.value for phase in Phase)

    def __init__(self, parts: Parts, query: Query) -> None:
        self._parts, self._query = parts, query
        self.sort = query.text("sort")
        self.seen = query.seen
        self.label_text = ",".join(f"{key}={value}" for key, value in query.labels().items())
        self.select = query.text("select") or ""
        self.wrong: Invalid | None = None
        self.filter = DeviceFilter(
            q=query.text("q"),
            labels=query.labels(),
            selector=self._selector(),
            target=query.text("target"),
            presence=query.text("presence"),
            model=query.text("model"),
            version=query.number("version"),
            phase=query.text("phase"),
            rollout=query.text("rollout"),
        )

    def _selector(self) -> Selector:
        # It is read while somebody still writes it: what is wrong with it is part of the page.
        try:
            return parse(self.select)
        except SelectorWrong as error:
            self.wrong = error
            return EVERYONE

    @property
    def filtered(self) -> bool:
        return self.wrong is not None or self.filter != DeviceFilter(labels={})

    @cached_property
    def page(self) -> Page[DeviceView]:
        if self.wrong is not None:
            return Page(items=[], total=0, next=None)
        try:
            return self._parts.devices.page(self.filter, self._query.page())
        except Invalid as error:
            if error.code not in ("cohort-unknown", SelectorTooLarge.code):
                raise
            self.wrong = error
            return Page(items=[], total=0, next=None)

    @property
    def targets(self) -> list[str]:
        return list(self._parts.devices.summary().targets)

    @property
    def models(self) -> list[str]:
        return [model.name for model in self._parts.releases.models(PageRequest(limit=500)).items]

    @property
    def columns(self) -> list[Column]:
        name, falling = (self.sort or "id").removeprefix("-"), (self.sort or "").startswith("-")
        return [
            Column(
                text,
                css,
                sort=(f"-{sort}" if sort == name and not falling else sort) if sort else None,
                order=("descending" if falling else "ascending") if sort and sort == name else None,
            )
            for text, sort, css in _COLUMNS
        ]


class OneDevice(Activity):
    """One device's page."""

    def __init__(self, parts: Parts, device: str, query: Query, labels: str | None = None, by: str = "") -> None:
        self.device = parts.devices.get(device)
        self.labels_shown = "\n".join(f"{key}={value}" for key, value in sorted(self.device.labels.items()))
        self.labels_typed, self.by = self.labels_shown if labels is None else labels, by
        self.refused: Invalid | None = None
        self._query, self.seen = query, query.seen
        self.at, self.at_text = _time(query.text("at")), query.text("at") or ""
        super().__init__(parts.monitoring, list(dict.fromkeys(model.model for model in self.device.models)), device)
        self._parts = parts

    @cached_property
    def pins(self) -> list[PinView]:
        return self._parts.pins.list(self.device.id)

    @cached_property
    def ran(self) -> list[RanView]:
        return self._parts.rollouts.ran(self.device.id, self.at)

    @cached_property
    def events(self) -> Page[DeviceEventView]:
        return self._parts.devices.events(self.device.id, self._query.page(_EVENTS_SHOWN))


def _changes(typed: str, shown: str) -> dict[str, str | None]:
    """What is another in the labels that are `typed` than in those that were `shown`: what somebody else changes
    meanwhile stays. Raises `Invalid`."""
    there = _lines(shown)
    wanted = parse_labels([line if line in there else line.strip() for line in _lines(typed) if line.strip()])
    before = {key: value for key, _, value in (line.partition("=") for line in there)}
    gone: dict[str, str | None] = dict.fromkeys(before.keys() - wanted.keys())
    return gone | {key: value for key, value in wanted.items() if before.get(key) != value}


def _lines(text: str) -> list[str]:
    # Not `splitlines`: a value may hold what that takes for the end of a line. Forms send the ends as in mail.
    return text.replace("\r\n", "\n").split("\n")


def _time(text: str | None) -> datetime | None:
    """In UTC where it does not say otherwise; None where it is no time, which is now."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/devices` and `/devices/ID`."""
    api = APIRouter()

    def subjects_of(device: str) -> tuple[str, ...]:
        return (f"device:{device}", "telemetry")

    @api.get("/devices")
    def devices(request: Request) -> Response:
        return renderer.page(request, "devices.html", view=Devices(parts, Query(request)), subjects=("devices",))

    @api.get("/devices/{device}")
    def device(request: Request, device: str) -> Response:
        view = OneDevice(parts, device, Query(request))
        return renderer.page(request, "device.html", view=view, subjects=subjects_of(device), charts=True)

    @api.post("/devices/{device}/models/{model}/retry")
    def retry(device: str, model: str, slot: str = DEFAULT_SLOT) -> Response:
        parts.rollouts.retry(device, model, slot)
        return RedirectResponse(f"/devices/{device}", 303)

    @api.post("/devices/{device}/labels")
    def relabel(
        request: Request,
        device: str,
        labels: Annotated[str, Form()] = "",
        shown: Annotated[str, Form()] = "",
        by: Annotated[str, Form()] = "",
    ) -> Response:
        try:
            who = actor.acting(by)
            if changes := _changes(labels, shown):
                parts.devices.relabel(device, changes)
        except Invalid as error:
            view = OneDevice(parts, device, Query(request), labels, by)
            view.refused = error
            return renderer.whole(
                request, "device.html", status=422, view=view, subjects=subjects_of(device), charts=True
            )
        response = RedirectResponse(f"/devices/{device}", 303)
        actor.remember(request, response, who)
        return response

    @api.post("/devices/{device}/pins/{pin}/end")
    def unpin(request: Request, device: str, pin: str, by: Annotated[str, Form()] = "") -> Response:
        who = actor.acting(by)
        parts.pins.unpin(pin, who)
        response = RedirectResponse(f"/devices/{device}", 303)
        actor.remember(request, response, who)
        return response

    return api
