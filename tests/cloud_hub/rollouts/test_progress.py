"""A rollout goes on wave by wave, on proof and never on silence, and says what it waits for."""

import pytest

from cloud_hub.errors import Invalid
from cloud_hub.page import PageRequest
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import RolloutIn
from fleet_contract.report import Phase, Presence
from tests.cloud_hub.rollouts.canary_rollout import SIX, canary_of, settled_on_version_1, start
from tests.fakes.paper_gateways import PaperGateways


def test_a_good_version_reaches_everyone_in_waves(fleet: PaperGateways) -> None:
    fleet.join(*SIX[:3])
    fleet.join(*SIX[3:], target="cpu-avx2")
    fleet.register()
    rollout = start(fleet)
    reached: list[int] = []
    fleet.play(each=lambda: reached.append(sum(version == 1 for version in fleet.versions().values())))

    found = fleet.rollouts.get(rollout.id)
    assert sorted(set(reached)) == [2, 3, 6]
    assert found.state == "completed"
    assert [wave.state for wave in found.waves] == ["done", "done", "done"]
    assert [wave.covers for wave in found.waves] == [2, 3, 6]
    assert found.counts.model_dump() == {
        "eligible": 6, "offered": 6, "heard": 6, "succeeded": 6, "failed": 0, "pending": 0, "unheard": 0,
        "waiting": 0, "pinned": 0, "held": {},
    }  # fmt: skip
    assert {gate.name for gate in found.gates} == {"installs", "parity", "errors", "predictions"}
    assert {gate.verdict for gate in found.gates} == {"pass"}


def test_what_a_preview_shows_is_what_happens(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.join(*(f"avx-{number}" for number in range(3)), target="cpu-avx2")
    fleet.register()
    wanted = RolloutIn(model="digits", version=1, policy=Policy(rate=None))
    shown = fleet.rollouts.preview(wanted)
    assert fleet.rollouts.page().items == []
    waves = [fleet.rollouts.preview(wanted.model_copy(update={"salt": shown.salt}), wave).devices for wave in range(4)]
    assert [wave.by_target for wave in shown.waves][:2] == [{"cpu-avx2": 1, "cpu-vnni": 1}] * 2
    assert [(wave.covers, wave.added) for wave in shown.waves] == [(2, 2), (2, 0), (3, 1), (9, 6)]
    assert sorted(name for wave in waves for name in wave) == sorted(fleet.gateways)
    fleet.rollouts.create(wanted.model_copy(update={"salt": shown.salt}))
    reached: list[str] = []
    steps: list[list[str]] = []

    def note() -> None:
        now = sorted(name for name, version in fleet.versions().items() if version == 1 and name not in reached)
        reached.extend(now)
        steps.extend([now] if now else [])

    fleet.play(each=note)
    assert steps == [wave for wave in waves if wave]


def test_the_lab_comes_first_and_then_shares_of_the_others(fleet: PaperGateways) -> None:
    fleet.join("bench-1", "bench-2", site="lab")
    fleet.join(*SIX, site="lyon")
    fleet.register()
    with pytest.raises(Invalid, match="No eligible device is in the lab") as refused:
        start(fleet, lab="site = nowhere")
    assert refused.value.code == "lab-empty"
    rollout = start(fleet, lab="site = lab", waves=[{"percent": 50}, {"percent": 100}])
    reached: list[set[str]] = []
    fleet.play(each=lambda: reached.append({name for name, version in fleet.versions().items() if version == 1}))
    assert reached[0] == {"bench-1", "bench-2"}
    assert sorted({len(names) for names in reached}) == [2, 5, 8]
    assert [wave.name for wave in fleet.rollouts.get(rollout.id).waves] == ["lab", "50 %", "100 %"]


def test_devices_that_join_late_obey_the_wave(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    start(fleet, 2, salt="5a175a17", waves=[{"percent": 50}, {"percent": 100}])
    fleet.rollouts.tick()
    late = [f"late-{number}" for number in range(20)]
    fleet.join(*late)
    fleet.rollouts.tick()
    versions = [fleet.version(name) for name in late]
    assert set(versions) == {1, 2}
    fleet.play()
    assert set(fleet.versions().values()) == {2}


def test_silence_promotes_nothing(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register()
    rollout = start(fleet)
    for _ in range(8):
        fleet.rollouts.tick()
        fleet.clock.pass_seconds(60)
    found = fleet.rollouts.get(rollout.id)
    assert (found.wave, found.because.code) == (0, "nobody-heard")
    assert (found.counts.offered, found.counts.unheard) == (1, 1)


def test_devices_without_telemetry_promote_nothing(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register()
    rollout = start(fleet)
    for _ in range(8):
        fleet.rollouts.tick()
        fleet.obey()
        fleet.clock.pass_seconds(60)
    found = fleet.rollouts.get(rollout.id)
    assert (found.wave, found.because.code) == (0, "records-wanted")


def test_what_a_device_said_before_its_order_does_not_count(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    again = start(fleet, 1)
    fleet.rollouts.tick()
    fleet.report(*SIX)
    fleet.rollouts.tick()
    found = fleet.rollouts.get(again.id)
    assert (found.counts.offered, found.counts.succeeded, found.counts.pending) == (1, 0, 1)


def test_a_device_that_was_lost_on_the_way_holds_the_wave_back(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2)
    fleet.rollouts.tick()
    canary = canary_of(fleet)
    fleet.clock.pass_seconds(1)
    fleet.report(canary)
    fleet.report(canary, presence=Presence.LOST)
    fleet.clock.pass_seconds(3_600)
    fleet.rollouts.tick()
    found = fleet.rollouts.get(rollout.id)
    assert (found.counts.pending, found.because.code) == (1, "devices-pending")


def test_why_a_rollout_does_not_move_is_one_answer(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2, waves=[{"devices": 2}, {"percent": 100}], stop_failed_percent=60)
    fleet.rollouts.tick()
    one, other = sorted(name for name, version in fleet.versions().items() if version == 2)
    fleet.obey(one)
    fleet.obey(other, phase=Phase.REJECTED, code="golden-mismatch")
    fleet.rollouts.tick()
    found = fleet.rollouts.explain(rollout.id)
    assert found.because.code == "verdict-wanted"
    unmet = {condition.name for condition in found.conditions if not condition.met}
    assert {"success", "soak", "records"} <= unmet
    assert "heard" not in unmet
    assert "failures" not in unmet
    assert [(why.code, why.devices, why.examples) for why in found.failures] == [("golden-mismatch", 1, [other])]
    assert found.earliest is None
    fleet.rollouts.retry(other, "digits")
    fleet.obey()
    fleet.infer(one, other, predictions={"0": 2000, "1": 2000, "2": 0})
    fleet.rollouts.tick()
    soaking = fleet.rollouts.explain(rollout.id)
    unmet = {condition.name for condition in soaking.conditions if not condition.met}
    assert {name for name in unmet if not name.startswith("gate ")} == {"soak"}
    fleet.rollouts.abort(rollout.id)
    assert fleet.rollouts.explain(rollout.id).conditions == []


def test_every_decision_is_kept_with_its_reason_and_what_it_rested_on(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register()
    start(fleet)
    fleet.play()
    rollout = fleet.rollouts.page().items[0]
    decisions = fleet.rollouts.decisions(rollout.id, PageRequest(limit=500)).items[::-1]
    assert [decision.number for decision in decisions] == list(range(1, rollout.revision + 1))
    opened = [(d.wave, d.at) for d in decisions if d.because.code == "wave-opened"]
    assert [wave for wave, _ in opened] == [0, 1, 2]
    assert fleet.rollouts.openings(rollout.id) == opened
    assert (decisions[0].because.code, decisions[-1].because.code) == ("created", "completed")
    assert decisions[-1].evidence.treated.records > 200
    assert decisions[-1].gates
    # One a change of mind, and not one a tick.
    assert len(decisions) < 25
    assert fleet.rollouts.latest_decisions(limit=1)[0].because.code == "completed"
