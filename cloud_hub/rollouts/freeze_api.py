"""The freeze over HTTP."""

from fastapi import APIRouter, Response

from cloud_hub.access.actor import Actor
from cloud_hub.access.if_match import Seen, tagged
from cloud_hub.rollouts.freeze import FreezeService
from cloud_hub.rollouts.views import FreezeIn, FreezeView


def router(freeze: FreezeService) -> APIRouter:
    """The routes /freeze."""
    routes = APIRouter(tags=["freeze"])

    @routes.get("/freeze", summary="Show whether the fleet is frozen")
    def show(response: Response) -> FreezeView:
        return tagged(response, freeze.show())

    @routes.put("/freeze", summary="Freeze the whole fleet")
    def begin(asked: FreezeIn, by: Actor, response: Response, seen: Seen) -> FreezeView:
        """No device is ordered anything new. What a device is at already, it ends; orders that expire are renewed."""
        return tagged(response, freeze.begin(asked, by, seen))

    @routes.delete("/freeze", summary="End the freeze")
    def end(by: Actor, response: Response, seen: Seen) -> FreezeView:
        """What was decided meanwhile is carried out now."""
        return tagged(response, freeze.end(by, seen))

    return routes
