"""A rollout that opens with one device, then half, then all, on six gateways that may run an older version."""

from typing import Literal

from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import RolloutIn, RolloutView
from tests.fakes.paper_gateways import PaperGateways

SIX = tuple(f"gw-{number}" for number in range(6))
GOOD = {"0": 100, "1": 100, "2": 0}
NONSENSE = {"0": 0, "1": 0, "2": 200}
#: Where devices hardly differ, one of them is enough to stop a rollout.
ALIKE = {"device_correlation": 0.003}


def start(
    fleet: PaperGateways,
    version: int = 1,
    model: str = "digits",
    *,
    slot: Literal["default", "shadow"] = "default",
    salt: str | None = None,
    **policy: object,
) -> RolloutView:
    policy = {"waves": [{"devices": 1}, {"percent": 50}, {"percent": 100}], **policy}
    wanted = RolloutIn(
        model=model, version=version, slot=slot, salt=salt, policy=Policy.model_validate({"rate": None, **policy})
    )
    return fleet.rollouts.create(wanted)


def settled_on_version_1(fleet: PaperGateways) -> None:
    """Six gateways that all run version 1, with a version 2 at hand."""
    fleet.join(*SIX)
    fleet.run_version_1()
    assert set(fleet.versions().values()) == {1}
    fleet.clock.pass_seconds(60)


def canary_of(fleet: PaperGateways, version: int = 2) -> str:
    (canary,) = [name for name, running in fleet.versions().items() if running == version]
    return canary
