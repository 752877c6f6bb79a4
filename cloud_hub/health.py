"""How the hub itself is: what is wrong now, and what it could not use of what devices sent."""

from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from cloud_hub.because import BecauseView
from cloud_hub.refusals import Refusals
from fleet_contract.because import Because

VERSION = version("vedette")
Troubles = Callable[[], Sequence[Because]]


class View(BaseModel):
    """Never changed once made."""

    model_config = ConfigDict(frozen=True)


class BrokerView(View):
    """Where devices reach the broker."""

    host: str
    port: int


class RefusalView(View):
    """The newest message that was refused; `device` is null when its topic named none."""

    at: datetime
    device: str | None
    because: BecauseView


class HealthView(View):
    """`status` is degraded while there are troubles. `refused_messages` counts, by code, since the hub started."""

    status: Literal["ok", "degraded"]
    version: str
    troubles: list[BecauseView]
    broker: BrokerView
    refused_messages: dict[str, int]
    last_refused: RefusalView | None


class HealthService:
    """Asks the hub's parts how they are. `parts` may grow until the hub starts."""

    def __init__(self, broker: BrokerView, refusals: Refusals) -> None:
        self._broker = broker
        self._refusals = refusals
        self.parts: list[Troubles] = []

    def troubles(self) -> list[BecauseView]:
        """What is wrong now, with all parts."""
        return [BecauseView.of(trouble) for part in self.parts for trouble in part()]

    def view(self) -> HealthView:
        """All of it."""
        troubles, last = self.troubles(), self._refusals.last
        return HealthView(
            status="degraded" if troubles else "ok",
            version=VERSION,
            troubles=troubles,
            broker=self._broker,
            refused_messages=self._refusals.counts,
            last_refused=None
            if last is None
            else RefusalView(
                at=last.at, device=last.device, because=BecauseView(code=last.code, sentence=last.sentence)
            ),
        )


def router(health: HealthService) -> APIRouter:
    """The route /health."""
    routes = APIRouter(tags=["health"])

    @routes.get("/health", summary="Say how the hub is")
    def show() -> HealthView:
        """Status ok, or degraded with the troubles that make it so."""
        return health.view()

    return routes
