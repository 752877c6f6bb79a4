"""The buttons that freeze the fleet and let it move again. The banner that says so is on every page."""

import re
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from cloud_hub.console import actor
from cloud_hub.console.parts import Parts
from cloud_hub.console.rollout_pages import MAX_REASON
from cloud_hub.errors import Invalid
from cloud_hub.rollouts.views import FreezeIn

_HOURS = re.compile(r"[0-9]{1,5}(\.[0-9]{1,6})?", re.ASCII)


def router(parts: Parts) -> APIRouter:
    """What the buttons post to."""
    api = APIRouter()

    def done(request: Request, who: str) -> Response:
        response = RedirectResponse("/rollouts", 303)
        actor.remember(request, response, who)
        return response

    @api.post("/freeze/on")
    def begin(
        request: Request,
        reason: Annotated[str, Form()] = "",
        hours: Annotated[str, Form()] = "",
        by: Annotated[str, Form()] = "",
    ) -> Response:
        who, why = actor.acting(by), reason.strip()[:MAX_REASON] or "No reason was given."
        parts.freeze.begin(FreezeIn(reason=why, until=_until(hours.strip(), parts.now())), who)
        return done(request, who)

    @api.post("/freeze/off")
    def end(
        request: Request, by: Annotated[str, Form()] = "", revision: Annotated[int | None, Form()] = None
    ) -> Response:
        who = actor.acting(by)
        parts.freeze.end(who, revision)
        return done(request, who)

    return api


def _until(hours: str, now: datetime) -> datetime | None:
    if not hours:
        return None
    if not _HOURS.fullmatch(hours) or not float(hours):
        raise Invalid(f"{hours!r} is no number of hours.", "Write one like 6 or 0.5, or none.", code="hours-wrong")
    return now + timedelta(hours=float(hours))
