"""A bad version is stopped at the canary, and each device gets back what it had."""

from fleet_contract.report import Phase
from tests.cloud_hub.rollouts.canary_rollout import ALIKE, GOOD, NONSENSE, SIX, canary_of, settled_on_version_1, start
from tests.fakes.paper_gateways import PaperGateways


def test_a_version_that_predicts_nonsense_is_stopped_at_the_canary_and_reverted(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2)
    fleet.rollouts.tick()
    canary = canary_of(fleet)
    fleet.obey()
    generation = fleet.gateways[canary].generation
    for _ in range(5):
        fleet.infer(*(set(SIX) - {canary}), predictions=GOOD)
        fleet.infer(canary, predictions=NONSENSE)
        fleet.rollouts.tick()
    stopped = fleet.rollouts.get(rollout.id)
    assert stopped.state == "reverting"
    assert stopped.because.code == "gate-predictions-failed"
    assert "0.0 % of 200 predictions are '0', on 1 device, against 50.0 % of 1,000" in stopped.because.sentence
    assert fleet.version(canary) == 1
    assert [wave.state for wave in stopped.waves] == ["reverted", "waiting", "waiting"]

    fleet.obey()
    fleet.rollouts.tick()
    assert fleet.rollouts.get(rollout.id).state == "reverted"
    assert fleet.gateways[canary].generation > generation
    assert set(fleet.versions().values()) == {1}
    verdicts = {gate.name: gate.verdict for gate in fleet.rollouts.get(rollout.id).gates}
    assert verdicts["predictions"] == "fail"


def test_a_first_version_is_compared_with_its_reference(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register()
    rollout = start(fleet, gates=ALIKE)
    fleet.rollouts.tick()
    fleet.obey()
    for _ in range(20):
        fleet.infer(predictions=NONSENSE)
    fleet.rollouts.tick()
    found = fleet.rollouts.get(rollout.id)
    assert found.because.code == "gate-predictions-failed"
    assert "in the reference" in found.because.sentence


def test_failed_inferences_stop_it_too(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2, gates=ALIKE)
    fleet.rollouts.tick()
    canary = canary_of(fleet)
    fleet.obey()
    for _ in range(3):
        fleet.infer(*(set(SIX) - {canary}), predictions=GOOD)
        fleet.infer(canary, predictions=GOOD, errors=60)
        fleet.rollouts.tick()
    assert fleet.rollouts.get(rollout.id).because.code == "gate-errors-failed"
    assert fleet.version(canary) == 1


def test_a_version_that_a_device_rejects_is_reverted(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2)
    fleet.rollouts.tick()
    fleet.obey(canary_of(fleet), phase=Phase.REJECTED)
    fleet.rollouts.tick()
    found = fleet.rollouts.get(rollout.id)
    assert (found.state, found.because.code) == ("reverting", "too-many-failed")
    assert found.counts.failed == 1
    assert set(fleet.versions().values()) == {1}


def test_stop_without_revert_leaves_the_canary_and_waits_for_a_person(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2, on_stop="pause")
    fleet.rollouts.tick()
    canary = canary_of(fleet)
    fleet.obey(canary, phase=Phase.REJECTED)
    fleet.rollouts.tick()
    found = fleet.rollouts.get(rollout.id)
    assert (found.state, found.waves[0].state) == ("stopped", "stopped")
    assert fleet.version(canary) == 2
    fleet.rollouts.abort(rollout.id)
    fleet.rollouts.tick()
    assert fleet.version(canary) == 1


def test_a_first_version_that_is_reverted_is_taken_away(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register()
    rollout = start(fleet)
    fleet.rollouts.tick()
    fleet.obey()
    fleet.rollouts.abort(rollout.id, "not yet")
    fleet.rollouts.tick()
    assert set(fleet.versions().values()) == {None}
    fleet.obey()
    fleet.rollouts.tick()
    found = fleet.rollouts.get(rollout.id)
    assert found.state == "aborted"
    assert "Aborted by operator: not yet." in found.because.sentence


def test_a_revert_gives_back_what_a_rollout_by_version_had_given(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    fleet.register()
    start(fleet, 2, selector="model.digits = 1")
    fleet.play()
    bad = start(fleet, 3)
    fleet.play(2)
    assert 3 in fleet.versions().values()
    fleet.rollouts.abort(bad.id)
    fleet.play()
    assert set(fleet.versions().values()) == {2}
