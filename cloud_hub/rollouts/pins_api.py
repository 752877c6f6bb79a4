"""Pins over HTTP."""

from fastapi import APIRouter, status

from cloud_hub.access.actor import Actor
from cloud_hub.rollouts.pins import PinService
from cloud_hub.rollouts.views import PinIn, PinView


def router(pins: PinService) -> APIRouter:
    """The routes /pins."""
    routes = APIRouter(tags=["pins"])

    @routes.get("/pins", summary="List the pins that hold now, newest first")
    def list_pins(device: str | None = None) -> list[PinView]:
        """With `device`, those that hold it."""
        return pins.list(device)

    @routes.post("/pins", status_code=status.HTTP_201_CREATED, summary="Pin a device, or those that a selector means")
    def pin(asked: PinIn, by: Actor) -> PinView:
        """Rollouts leave it alone, and do not count it, until the pin ends."""
        return pins.pin(asked, by)

    @routes.delete("/pins/{pin}", summary="End a pin")
    def unpin(pin: str, by: Actor) -> PinView:
        """Rollouts reach its devices again."""
        return pins.unpin(pin, by)

    return routes
