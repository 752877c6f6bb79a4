"""A shadow's rollout: it runs beside what answers, and neither is judged by what the other did."""

from msgspec.structs import replace

from tests.cloud_hub.rollouts.canary_rollout import GOOD, SIX, start
from tests.fakes.paper_gateways import PaperGateways


def test_a_shadow_runs_beside_what_answers_and_is_judged_on_its_own_records(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register()
    fleet.register()
    start(fleet, 1, waves=[{"percent": 100}])
    fleet.play()
    shadow = start(fleet, 2, slot="shadow", waves=[{"percent": 100}])
    fleet.rollouts.tick()
    assert fleet.version("gw-0") == 1
    found = fleet.assigned("gw-0", slot="shadow")
    assert found is not None
    assert (found.version, found.rollout) == (2, shadow.id)
    for _ in range(10):
        fleet.obey()
        fleet.infer(predictions=GOOD, agreed=sum(GOOD.values()) * 9 // 10)
        fleet.clock.pass_seconds(31)
        fleet.rollouts.tick()
    seen = fleet.rollouts.get(shadow.id)
    assert seen.state == "completed"
    assert seen.evidence.treated.agreement == 0.9
    assert seen.evidence.control.compared == 0
    assert fleet.version("gw-0") == 1


def test_what_a_shadow_gets_wrong_is_no_evidence_against_the_version_that_answers(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register()
    first = start(fleet, 1, waves=[{"percent": 100}])
    fleet.rollouts.tick()
    fleet.obey()
    for gateway in fleet.gateways.values():
        answering = gateway.models["digits", "default"]
        gateway.models["digits", "shadow"] = replace(answering, slot="shadow")
        del gateway.models["digits", "default"]
    fleet.infer(predictions={"0": 50}, errors=50)
    fleet.rollouts.tick()
    seen = fleet.rollouts.get(first.id)
    assert (seen.state, seen.evidence.treated.records) == ("running", 0)
