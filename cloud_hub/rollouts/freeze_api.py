"""The freeze over HTTP."""

from fastapi import APIRouter

from cloud_hub.access.actor import Actor
from cloud_hub.rollouts.freeze import FreezeService
from cloud_hub.rollouts.views import FreezeIn, FreezeView


def router(freeze: FreezeService) -> APIRouter:
    """The routes /freeze."""
    routes = APIRouter(tags=["freeze"])

    @routes.get("/freeze", summary="Show whether the fleet is frozen")
    def show() -> FreezeView:
        return freeze.show()

    @routes.put("/freeze", summary="Freeze the whole fleet")
    def begin(asked: FreezeIn, by: Actor) -> FreezeView:
        """No device is ordered anything new. What a device is at already, it ends; orders that expire are renewed."""
        return freeze.begin(asked, by)

    @routes.delete("/freeze", summary="End the freeze")
    def end(by: Actor) -> FreezeView:
        """What was decided meanwhile is carried out now."""
        return freeze.end(by)

    return routes
