"""Saved cohorts over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from cloud_hub.access.actor import Actor
from cloud_hub.access.if_match import Seen, tagged
from cloud_hub.access.once import keyed
from cloud_hub.access.request_key import RequestKeyHeader
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.views import CohortChange, CohortIn, CohortView


def router(cohorts: CohortService) -> APIRouter:
    """The routes /cohorts."""
    routes = APIRouter(tags=["cohorts"])

    @routes.get("/cohorts", summary="List saved cohorts, by name")
    def list_cohorts(
        counted: Annotated[bool, Query(description="With how many devices each means now")] = False,
    ) -> list[CohortView]:
        return cohorts.all(counted=counted)

    @routes.post("/cohorts", status_code=status.HTTP_201_CREATED, summary="Save a cohort")
    def create(cohort: CohortIn, by: Actor, response: Response, key: RequestKeyHeader = None) -> CohortView:
        """It is referred to as cohort:NAME wherever a selector is asked for. Sent again with the same Idempotency-Key,
        it answers with the cohort that it saved."""
        return tagged(response, cohorts.create(cohort, by, keyed(key, "cohorts", cohort)))

    @routes.get("/cohorts/{name}", summary="Show a cohort, and how many devices it means now")
    def show(name: str, response: Response) -> CohortView:
        return tagged(response, cohorts.get(name))

    @routes.put("/cohorts/{name}", summary="Replace what a cohort means")
    def replace(name: str, change: CohortChange, by: Actor, response: Response, seen: Seen) -> CohortView:
        """Rollouts that exist keep what it said when they were created."""
        return tagged(response, cohorts.replace(name, change.selector, by, seen))

    @routes.delete("/cohorts/{name}", summary="Delete a cohort")
    def delete(name: str, by: Actor, seen: Seen) -> CohortView:
        """Refused while another cohort refers to it."""
        return cohorts.delete(name, by, seen)

    return routes
