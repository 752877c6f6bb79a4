"""Pins over HTTP."""

from fastapi import APIRouter, Response, status

from cloud_hub.access.actor import Actor
from cloud_hub.access.if_match import Seen, tagged
from cloud_hub.access.once import keyed
from cloud_hub.access.request_key import RequestKeyHeader
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
    def pin(asked: PinIn, by: Actor, response: Response, key: RequestKeyHeader = None) -> PinView:
        """Rollouts leave it alone, and do not count it, until the pin ends. Sent again with the same Idempotency-Key,
        it answers with the pin that it made."""
        return tagged(response, pins.pin(asked, by, keyed(key, "pins", asked)))

    @routes.delete("/pins/{pin}", summary="End a pin")
    def unpin(pin: str, by: Actor, response: Response, seen: Seen) -> PinView:
        """Rollouts reach its devices again."""
        return tagged(response, pins.unpin(pin, by, seen))

    return routes
