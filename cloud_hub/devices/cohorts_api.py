"""Saved cohorts over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response, status

from cloud_hub.access.actor import Actor
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.views import CohortChange, CohortIn, CohortView

IfMatch = Annotated[
    str | None,
    Header(pattern=r'^"[0-9]{1,9}"$', description="The ETag of what is to be replaced; else whatever is there is"),
]


def router(cohorts: CohortService) -> APIRouter:
    """The routes /cohorts."""
    routes = APIRouter(tags=["cohorts"])

    def tagged(response: Response, view: CohortView) -> CohortView:
        response.headers["ETag"] = f'"{view.revision}"'
        return view

    @routes.get("/cohorts", summary="List saved cohorts, by name")
    def list_cohorts(
        counted: Annotated[bool, Query(description="With how many devices each means now")] = False,
    ) -> list[CohortView]:
        return cohorts.all(counted=counted)

    @routes.post("/cohorts", status_code=status.HTTP_201_CREATED, summary="Save a cohort")
    def create(cohort: CohortIn, by: Actor, response: Response) -> CohortView:
        """It is referred to as cohort:NAME wherever a selector is asked for."""
        return tagged(response, cohorts.create(cohort, by))

    @routes.get("/cohorts/{name}", summary="Show a cohort, and how many devices it means now")
    def show(name: str, response: Response) -> CohortView:
        return tagged(response, cohorts.get(name))

    @routes.put("/cohorts/{name}", summary="Replace what a cohort means")
    def replace(name: str, change: CohortChange, by: Actor, response: Response, if_match: IfMatch = None) -> CohortView:
        """Rollouts that exist keep what it said when they were created."""
        revision = int(if_match.strip('"')) if if_match else None
        return tagged(response, cohorts.replace(name, change.selector, by, revision))

    @routes.delete("/cohorts/{name}", summary="Delete a cohort")
    def delete(name: str, by: Actor) -> CohortView:
        """Refused while another cohort refers to it."""
        return cohorts.delete(name, by)

    return routes
