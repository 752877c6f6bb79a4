"""A rollout of one wave that asks for no evidence: only its limits hold it, on ten gateways that are connected."""

from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import RolloutIn, RolloutView
from tests.fakes.paper_gateways import NO_GATES, PaperGateways

TEN = tuple(f"gw-{number}" for number in range(10))


def start(fleet: PaperGateways, version: int = 1, **policy: object) -> str:
    asked = {
        "waves": [{"percent": 100}],
        "soak_seconds": 0,
        "minimum_records": 0,
        "on_stop": "pause",
        "gates": NO_GATES,
        "rate": None,
        **policy,
    }
    return fleet.rollouts.create(RolloutIn(model="digits", version=version, policy=Policy.model_validate(asked))).id


def connected(fleet: PaperGateways, *names: str) -> None:
    fleet.clock.pass_seconds(1)
    fleet.report(*(names or fleet.gateways))


def ten_connected(fleet: PaperGateways) -> None:
    fleet.join(*TEN)
    fleet.register()
    fleet.register()
    fleet.rollouts.tick()
    connected(fleet)


def ordered(fleet: PaperGateways, version: int = 1) -> set[str]:
    return {name for name, found in fleet.versions().items() if found == version}


def shown(fleet: PaperGateways, rollout: str) -> RolloutView:
    return fleet.rollouts.get(rollout)
