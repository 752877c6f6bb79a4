"""What a device has rejected is tried once more: as often as the policy says, and when a person asks."""

import pytest

from cloud_hub.errors import Conflict, NotFound
from cloud_hub.rollouts.orders import VALID
from fleet_contract.report import Phase
from tests.cloud_hub.rollouts import limited_rollout
from tests.cloud_hub.rollouts.canary_rollout import start
from tests.fakes.paper_gateways import PaperGateways


def test_what_a_device_rejects_is_retried_as_often_as_the_policy_says(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    rollout = limited_rollout.start(fleet, retries=2)
    seen = set()
    for tried in range(3):
        fleet.rollouts.tick()
        found = fleet.assigned("a")
        assert found is not None
        assert fleet.rollouts.get(rollout).state == "running", tried
        seen.add(found.retry)
        fleet.obey(phase=Phase.REJECTED)
    assert len(seen) == 3
    fleet.rollouts.tick()
    assert (fleet.rollouts.get(rollout).counts.failed, fleet.rollouts.get(rollout).state) == (1, "stopped")
    retried = fleet.assigned("a")
    assert retried is not None
    assert retried.retry in seen


def test_a_rejected_version_is_tried_again_when_an_operator_asks_and_only_then(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    start(fleet, 1, waves=[{"percent": 100}], on_stop="pause")
    fleet.rollouts.tick()
    fleet.obey()
    with pytest.raises(Conflict, match="has not rejected digits: it is settled"):
        fleet.rollouts.retry("a", "digits")
    fleet.obey(phase=Phase.REJECTED)
    fleet.rollouts.tick()
    before = fleet.desired("a")
    assert before is not None
    assert before.assignments[0].retry == 0
    told = fleet.rollouts.retry("a", "digits")
    assigned = fleet.assigned("a")
    assert assigned is not None
    assert (told.version, told.generation) == (1, before.generation + 1)
    assert assigned.retry == told.generation
    fleet.obey()
    fleet.rollouts.tick()
    counts = fleet.rollouts.page().items[0].counts
    assert (counts.succeeded, counts.failed) == (1, 0)
    fleet.join("b")
    fleet.clock.pass_seconds(VALID.total_seconds() / 2 + 1)
    fleet.rollouts.tick()
    renewed = fleet.assigned("a")
    assert renewed is not None
    assert renewed.retry == told.generation, "a renewed order asks for nothing new"


@pytest.mark.parametrize(("device", "model"), [("nobody", "digits"), ("a", "parts")])
def test_what_a_device_does_not_have_cannot_be_retried(fleet: PaperGateways, device: str, model: str) -> None:
    fleet.join("a")
    with pytest.raises(NotFound) as caught:
        fleet.rollouts.retry(device, model)
    assert caught.value.code == "device-model-unknown"
