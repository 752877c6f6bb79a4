"""Rollouts over HTTP."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query, Response, status
from pydantic import AwareDatetime

from cloud_hub.access.actor import Actor
from cloud_hub.access.if_match import Seen, tagged
from cloud_hub.access.once import RequestKey
from cloud_hub.access.request_key import RequestKeyHeader
from cloud_hub.page import Page, PageQuery
from cloud_hub.rollouts.origin import Origin
from cloud_hub.rollouts.service import RolloutService
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.views import (
    DecisionView,
    ExplanationView,
    GateReadingsView,
    PreviewView,
    RanView,
    RetryIn,
    RetryView,
    RolloutIn,
    RolloutView,
    VerbIn,
)


def router(rollouts: RolloutService) -> APIRouter:
    """The routes /rollouts."""
    routes = APIRouter(tags=["rollouts"])

    @routes.get("/rollouts", summary="List rollouts, newest first")
    def list_rollouts(
        page: PageQuery,
        model: Annotated[str | None, Query(description="Of this model")] = None,
        state: State | None = None,
    ) -> Page[RolloutView]:
        """Sorts: created_at, updated_at, model, state."""
        return rollouts.page(page, model=model, state=state.value if state else None)

    @routes.post("/rollouts/preview", summary="Show what a rollout would do, without starting it")
    def preview(
        rollout: RolloutIn,
        wave: Annotated[int, Query(ge=0, description="Whose devices are listed, from 0")] = 0,
        limit: Annotated[int, Query(ge=0, le=500)] = 100,
    ) -> PreviewView:
        """Create it with the salt that this gives, and each wave has the devices that are shown here."""
        return rollouts.preview(rollout, wave, limit)

    @routes.post("/rollouts", status_code=status.HTTP_201_CREATED, summary="Start a rollout")
    def create(rollout: RolloutIn, by: Actor, response: Response, key: RequestKeyHeader = None) -> RolloutView:
        """A newer rollout of a model takes over from an unfinished one. Sent again with the same Idempotency-Key, it
        answers with the rollout that it started."""
        digest = hashlib.sha256(rollout.model_dump_json().encode()).hexdigest()
        origin = Origin(by, request=RequestKey(key, digest) if key else None)
        return tagged(response, rollouts.create(rollout, origin))

    @routes.get("/rollouts/{rollout}", summary="Show one rollout")
    def show(rollout: str, response: Response) -> RolloutView:
        """Its ETag rises with each decision: with If-Match, a verb acts only on what was seen."""
        return tagged(response, rollouts.get(rollout))

    @routes.get("/rollouts/{rollout}/explain", summary="Explain why a rollout is not moving")
    def explain(rollout: str) -> ExplanationView:
        """Every condition of its next step as it is now, what holds its devices, and why some failed."""
        return rollouts.explain(rollout)

    @routes.get("/rollouts/{rollout}/decisions", summary="List a rollout's decisions, newest first")
    def decisions(rollout: str, page: PageQuery) -> Page[DecisionView]:
        return rollouts.decisions(rollout, page)

    @routes.get("/rollouts/{rollout}/gates", summary="Show what a rollout's gates measured over time")
    def gates(rollout: str) -> list[GateReadingsView]:
        return rollouts.gates(rollout)

    @routes.post("/rollouts/{rollout}/pause", summary="Pause a rollout")
    def pause(rollout: str, by: Actor, response: Response, seen: Seen, said: VerbIn | None = None) -> RolloutView:
        """Devices that have the version keep it; no other is offered it."""
        return tagged(response, rollouts.pause(rollout, said.reason if said else "", by, seen))

    @routes.post("/rollouts/{rollout}/resume", summary="Resume a paused or stopped rollout")
    def resume(rollout: str, by: Actor, response: Response, seen: Seen, said: VerbIn | None = None) -> RolloutView:
        """Gates go on watching, and stop it again if they must."""
        return tagged(response, rollouts.resume(rollout, said.reason if said else "", by, seen))

    @routes.post("/rollouts/{rollout}/abort", summary="Abort a rollout and revert it")
    def abort(rollout: str, by: Actor, response: Response, seen: Seen, said: VerbIn | None = None) -> RolloutView:
        """Each of its devices is ordered back to what it ran before. This cannot be undone."""
        return tagged(response, rollouts.abort(rollout, said.reason if said else "", by, seen))

    @routes.post("/rollouts/{rollout}/approve", summary="Approve the wave that waits for it")
    def approve(rollout: str, by: Actor, response: Response, seen: Seen, said: VerbIn | None = None) -> RolloutView:
        """It opens at once; or, with every device exposed, what no gate can tell any more stays. Where the policy asks
        for a second person, it is not who created the rollout."""
        return tagged(response, rollouts.approve(rollout, said.reason if said else "", by, seen))

    @routes.post(
        "/devices/{device}/models/{model}/retry",
        status_code=status.HTTP_202_ACCEPTED,
        tags=["devices"],
        summary="Have a device try again what it rejected",
    )
    def retry(device: str, model: str, said: RetryIn | None = None) -> RetryView:
        """The device gets a new order. What comes of it is in its history."""
        return rollouts.retry(device, model, (said or RetryIn()).slot)

    @routes.get("/devices/{device}/ran", tags=["devices"], summary="Say what a device ran at some time, and why")
    def ran(
        device: str,
        at: Annotated[AwareDatetime | None, Query(description="With its time zone; else now")] = None,
        model: str | None = None,
    ) -> list[RanView]:
        """Each with the rollout that put it there, who asked for that, and the decision with the evidence that it
        rested on. What ended more than 90 days ago is forgotten."""
        return rollouts.ran(device, at, model)

    return routes
