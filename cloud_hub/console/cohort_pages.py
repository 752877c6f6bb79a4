"""Cohorts: the saved selectors with how many devices each means now, and the forms that save, change and delete one."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from cloud_hub.console import actor
from cloud_hub.console.meaning import Meaning, meaning
from cloud_hub.console.parts import Parts
from cloud_hub.console.render import Renderer
from cloud_hub.devices.views import CohortIn, CohortView
from cloud_hub.errors import Conflict, Invalid, Stale
from fleet_contract.errors import ContractError, VedetteError

#: What a form can be told that is wrong with what was typed into it.
_REFUSALS = (Invalid, Conflict, Stale, ContractError)


class Cohorts:
    """The list, and what is typed of a new one."""

    def __init__(self, parts: Parts, given: Mapping[str, str]) -> None:
        self._parts = parts
        self.name, self.selector, self.by = given.get("name", ""), given.get("selector", ""), given.get("by", "")
        self.refused: VedetteError | None = None

    @cached_property
    def cohorts(self) -> list[CohortView]:
        return self._parts.cohorts.all(counted=True)

    @cached_property
    def meaning(self) -> Meaning | None:
        return meaning(self._parts.rollouts, self.selector) if self.selector.strip() else None


class OneCohort:
    """One cohort, and what is typed that it is to mean."""

    def __init__(self, parts: Parts, name: str, given: Mapping[str, str]) -> None:
        self._parts = parts
        self.cohort = parts.cohorts.get(name)
        self.selector, self.by = given.get("selector", self.cohort.selector), given.get("by", "")
        revision = given.get("revision", "")
        #: The one that was looked at: what somebody else saves meanwhile is not written over.
        self.revision = int(revision) if revision.isascii() and revision.isdigit() and len(revision) < 10 else None
        self.refused: VedetteError | None = None

    @cached_property
    def meaning(self) -> Meaning:
        return meaning(self._parts.rollouts, self.selector)


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/cohorts` and `/cohorts/NAME`, and what their forms post to."""
    api = APIRouter()

    def done(request: Request, who: str) -> Response:
        response = RedirectResponse("/cohorts", 303)
        actor.remember(request, response, who)
        return response

    @api.get("/cohorts")
    def cohorts(request: Request) -> Response:
        return renderer.page(request, "cohorts.html", view=Cohorts(parts, request.query_params), subjects=("devices",))

    @api.get("/cohorts/{name}")
    def cohort(request: Request, name: str) -> Response:
        return renderer.page(request, "cohort.html", view=OneCohort(parts, name, request.query_params))

    @api.post("/cohorts")
    def create(
        request: Request,
        name: Annotated[str, Form()] = "",
        selector: Annotated[str, Form()] = "",
        by: Annotated[str, Form()] = "",
    ) -> Response:
        view = Cohorts(parts, {"name": name.strip(), "selector": selector, "by": by})
        try:
            who = actor.acting(by)
            parts.cohorts.create(_checked(view), who)
        except _REFUSALS as error:
            view.refused = error
            return renderer.whole(request, "cohorts.html", status=422, view=view)
        return done(request, who)

    @api.post("/cohorts/{name}")
    def replace(
        request: Request,
        name: str,
        selector: Annotated[str, Form()] = "",
        revision: Annotated[str, Form()] = "",
        by: Annotated[str, Form()] = "",
    ) -> Response:
        view = OneCohort(parts, name, {"selector": selector, "revision": revision, "by": by})
        try:
            who = actor.acting(by)
            parts.cohorts.replace(name, selector, who, view.revision)
        except _REFUSALS as error:
            view.refused = error
            return renderer.whole(request, "cohort.html", status=422, view=view)
        return done(request, who)

    @api.post("/cohorts/{name}/delete")
    def delete(request: Request, name: str, by: Annotated[str, Form()] = "") -> Response:
        who = actor.acting(by)
        parts.cohorts.delete(name, who)
        return done(request, who)

    return api


def _checked(view: Cohorts) -> CohortIn:
    if not view.selector.strip():
        raise Invalid("A cohort needs a selector.", "Write `all` for every device.", code="selector-wanted")
    if view.meaning is not None and view.meaning.fault is not None:
        raise Invalid(view.meaning.fault.what, view.meaning.fault.remedy, code="selector-wrong")
    return CohortIn(name=view.name, selector=view.selector)
