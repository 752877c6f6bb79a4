"""Devices over HTTP."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from cloud_hub.devices.labels import parse_labels
from cloud_hub.devices.selector_text import EXAMPLE, parse
from cloud_hub.devices.service import DeviceService
from cloud_hub.devices.store import DeviceFilter
from cloud_hub.devices.views import DeviceEventView, DeviceView, FleetSummary, LabelChange
from cloud_hub.page import Page, PageQuery


def router(devices: DeviceService) -> APIRouter:
    """The routes /fleet and /devices."""
    routes = APIRouter(tags=["devices"])

    @routes.get("/devices", summary="List devices")
    def list_devices(
        page: PageQuery,
        q: Annotated[str | None, Query(description="Part of an id, a host name or a label's value")] = None,
        label: Annotated[list[str], Query(description="key=value; all that are given must hold")] = [],  # noqa: B006
        select: Annotated[str, Query(description="A selector, as in a rollout's policy", examples=[EXAMPLE])] = "",
        target: str | None = None,
        presence: Literal["online", "silent", "closing", "lost", "never"] | None = None,
        model: Annotated[str | None, Query(description="Has this model")] = None,
        version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Runs this version of a model")] = None,
        phase: str | None = None,
        rollout: str | None = None,
    ) -> Page[DeviceView]:
        """Sorts: id, hostname, target, presence, last_heard_at, joined_at, agent_version."""
        wanted = DeviceFilter(q, parse_labels(label), parse(select), target, presence, model, version, phase, rollout)
        return devices.page(wanted, page)

    @routes.get("/fleet", summary="Count the fleet")
    def summary() -> FleetSummary:
        return devices.summary()

    @routes.get("/devices/{device}", summary="Show one device")
    def show(device: str) -> DeviceView:
        return devices.get(device)

    @routes.get("/devices/{device}/events", summary="List a device's history, newest first")
    def events(device: str, page: PageQuery) -> Page[DeviceEventView]:
        return devices.events(device, page)

    @routes.patch("/devices/{device}", summary="Change a device's labels")
    def relabel(device: str, change: LabelChange) -> DeviceView:
        """A label that is null is taken away; those that are not named stay."""
        return devices.relabel(device, change.labels)

    return routes
