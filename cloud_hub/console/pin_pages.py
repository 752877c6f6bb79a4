"""Pins: those that hold now, the form that makes one, and the buttons that end them."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from cloud_hub.console import actor, pin_form
from cloud_hub.console.meaning import Meaning, meaning
from cloud_hub.console.parts import Parts
from cloud_hub.console.render import Renderer
from cloud_hub.console.rollout_form import Fault
from cloud_hub.errors import Conflict, HubError, Invalid, NotFound
from cloud_hub.page import PageRequest
from cloud_hub.rollouts.views import PinIn, PinView


class Pins:
    """The list, and what is typed of a new one."""

    def __init__(self, parts: Parts, given: Mapping[str, str]) -> None:
        self._parts = parts
        self.typed = {name: given.get(name, pin_form.DEFAULTS.get(name, "")) for name in pin_form.FIELDS}
        self.by = given.get("by", "")
        self.tried = False
        """Whether it was to be made: before, what is still missing is no fault."""
        self.refused: HubError | None = None

    @cached_property
    def pins(self) -> list[PinView]:
        return self._parts.pins.list()

    @property
    def models(self) -> list[str]:
        return [model.name for model in self._parts.releases.models(PageRequest(limit=500)).items]

    @cached_property
    def asked(self) -> PinIn | dict[str, Fault]:
        return pin_form.asked(self.typed, self._parts.now())

    @property
    def faults(self) -> Mapping[str, Fault]:
        return self.asked if self.tried and isinstance(self.asked, dict) else {}

    @property
    def wanted(self) -> PinIn | None:
        return self.asked if isinstance(self.asked, PinIn) else None

    @cached_property
    def meaning(self) -> Meaning | None:
        selector = self.typed["selector"]
        return meaning(self._parts.rollouts, selector) if selector.strip() else None


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/pins`, and what its forms post to."""
    api = APIRouter()

    def done(request: Request, to: str, who: str) -> Response:
        response = RedirectResponse(to, 303)
        actor.remember(request, response, who)
        return response

    @api.get("/pins")
    def pins(request: Request) -> Response:
        return renderer.page(request, "pins.html", view=Pins(parts, request.query_params), subjects=("devices",))

    def make(request: Request, given: Mapping[str, str]) -> Response:
        view = Pins(parts, given)
        view.tried = True
        if view.wanted is not None:
            try:
                who = actor.acting(view.by)
                made = parts.pins.pin(view.wanted, who)
            except (Invalid, NotFound, Conflict) as error:
                view.refused = error
            else:
                return done(request, f"/devices/{made.device}" if made.device else "/pins", who)
        return renderer.whole(request, "pins.html", status=422, view=view)

    @api.post("/pins")
    async def post(request: Request) -> Response:
        form = await request.form()
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        return await run_in_threadpool(make, request, given)

    @api.post("/pins/{pin}/end")
    def end(request: Request, pin: str, by: Annotated[str, Form()] = "") -> Response:
        who = actor.acting(by)
        parts.pins.unpin(pin, who)
        return done(request, "/pins", who)

    return api
