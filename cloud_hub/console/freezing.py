"""The buttons that freeze the fleet and let it move again. The banner that says so is on every page."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from cloud_hub.console import actor
from cloud_hub.console.parts import Parts
from cloud_hub.console.rollout_pages import MAX_REASON
from cloud_hub.rollouts.views import FreezeIn


def router(parts: Parts) -> APIRouter:
    """What the buttons post to."""
    api = APIRouter()

    def done(request: Request, who: str) -> Response:
        response = RedirectResponse("/rollouts", 303)
        actor.remember(request, response, who)
        return response

    @api.post("/freeze/on")
    def begin(request: Request, reason: Annotated[str, Form()] = "", by: Annotated[str, Form()] = "") -> Response:
        who = actor.acting(by)
        parts.freeze.begin(FreezeIn(reason=reason.strip()[:MAX_REASON] or "No reason was given."), who)
        return done(request, who)

    @api.post("/freeze/off")
    def end(request: Request, by: Annotated[str, Form()] = "") -> Response:
        who = actor.acting(by)
        parts.freeze.end(who)
        return done(request, who)

    return api
