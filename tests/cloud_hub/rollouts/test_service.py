"""Rollouts from start to end, on real databases, with gateways that obey, fail, are silent, or predict nonsense."""

from typing import Literal

import pytest
from msgspec.structs import replace
from sqlalchemy import select
from sqlmodel import col

from cloud_hub.devices import store as devices
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.views import CohortIn
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.page import PageRequest
from cloud_hub.rollouts import store
from cloud_hub.rollouts.engine import VerbRefused
from cloud_hub.rollouts.orders import VALID
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.tables import RolloutRow
from cloud_hub.rollouts.views import RolloutIn, RolloutView
from fleet_contract.report import Phase, Presence
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


def test_a_version_without_an_artifact_for_a_device_is_refused_with_the_target_and_the_count(
    fleet: PaperGateways,
) -> None:
    fleet.join("a", "b", target="cpu-avx2")
    fleet.join("c")
    fleet.register(targets=("cpu-vnni",))
    with pytest.raises(Invalid, match="for 2 of the devices that would be offered it: 2 on cpu-avx2") as refused:
        start(fleet)
    assert refused.value.code == "artifact-missing"
    assert start(fleet, selector="target = cpu-vnni").counts.eligible == 0
    fleet.rollouts.tick()
    assert fleet.versions() == {"a": None, "b": None, "c": 1}


def test_a_device_that_joins_with_a_target_that_has_no_artifact_keeps_the_older_version(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    fleet.register(targets=("cpu-vnni",))
    start(fleet)
    fleet.play()
    rollout = start(fleet, 2)
    fleet.play()
    assert fleet.rollouts.get(rollout.id).state == "completed"
    fleet.join("b", target="cpu-avx2")
    fleet.rollouts.tick()
    assert fleet.versions() == {"a": 2, "b": 1}


def test_only_devices_that_the_selector_names_are_offered_it(fleet: PaperGateways) -> None:
    fleet.join("a", "b", site="lyon")
    fleet.join("c", site="oslo")
    fleet.register()
    rollout = start(fleet, selector="site = lyon")
    fleet.play()
    assert fleet.rollouts.get(rollout.id).counts.eligible == 2
    assert fleet.versions() == {"a": 1, "b": 1, "c": None}


def test_a_rollout_keeps_what_its_cohorts_said_when_it_was_created(fleet: PaperGateways) -> None:
    cohorts = CohortService(fleet.database, fleet.changes, fleet.clock)
    fleet.join("a", site="lyon")
    fleet.join("b", site="oslo")
    fleet.register()
    cohorts.create(CohortIn(name="home", selector="site = lyon"), "ada")
    cohorts.create(CohortIn(name="us", selector="cohort:home"), "ada")
    start(fleet, selector="cohort:us", waves=[{"percent": 100}])
    cohorts.replace("home", "all", "ada")
    fleet.play()
    assert fleet.versions() == {"a": 1, "b": None}
    cohorts.delete("us", "ada")
    fleet.orders.sweep()
    fleet.rollouts.tick()
    assert fleet.versions() == {"a": 1, "b": None}
    with pytest.raises(Invalid, match="no cohort 'us'"):
        start(fleet, selector="cohort:us")


def test_a_device_that_a_rollout_moves_out_of_its_own_selector_keeps_the_version(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    fleet.register()
    rollout = start(fleet, 2, selector="model.digits = 1 and agent = 0.1.0", waves=[{"percent": 50}, {"percent": 100}])
    fleet.play()
    done = fleet.rollouts.get(rollout.id)
    assert (done.state, done.counts.eligible, done.counts.succeeded) == ("completed", 6, 6)
    fleet.orders.sweep()
    fleet.play(3)
    assert set(fleet.versions().values()) == {2}

    newer = start(fleet, 3, selector="model.digits = 2")
    fleet.play()
    assert fleet.rollouts.get(newer.id).counts.eligible == 6
    with fleet.database.session() as session:
        devices.set_labels(session, "gw-0", {"site": "lyon"})
    fleet.rollouts.abort(start(fleet, 1, selector="site = lyon").id)
    fleet.play()
    assert set(fleet.versions().values()) == {3}


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


def test_a_device_that_comes_to_be_what_a_rollout_selects_is_offered_it(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    fleet.register("parts")
    start(fleet, model="parts", selector="model.digits = 2")
    fleet.play(3)
    assert set(fleet.versions("parts").values()) == {None}
    fleet.register()
    start(fleet, 2)
    fleet.play()
    assert set(fleet.versions("parts").values()) == {1}


def test_a_newer_rollout_takes_over_at_once_and_leaves_what_is_out(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    fleet.register()
    older = start(fleet, 2, waves=[{"percent": 50}, {"percent": 100}])
    fleet.rollouts.tick()
    fleet.obey()
    with_2 = {name for name, version in fleet.versions().items() if version == 2}
    newer = start(fleet, 3)
    fleet.rollouts.tick()
    assert fleet.rollouts.get(older.id).state == "superseded"
    assert fleet.rollouts.get(newer.id).counts.eligible == 6
    with_3 = {name for name, version in fleet.versions().items() if version == 3}
    assert len(with_3) == 1
    assert {name for name, version in fleet.versions().items() if version == 2} == with_2 - with_3

    fleet.rollouts.abort(newer.id)
    fleet.rollouts.tick()
    assert {name for name, version in fleet.versions().items() if version == 2} == with_2


def test_what_a_newer_rollout_takes_over_is_offered_to_nobody_else(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    fleet.register()
    start(fleet, 2, waves=[{"devices": 5}, {"percent": 100}])
    fleet.rollouts.tick()
    start(fleet, 3)
    late = [f"late-{number}" for number in range(20)]
    fleet.join(*late)
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert {fleet.version(name) for name in late} <= {1, 3}


def test_who_joins_while_a_rollout_is_paused_gets_it_when_it_goes_on(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2, waves=[{"percent": 100}])
    fleet.rollouts.tick()
    fleet.rollouts.pause(rollout.id)
    fleet.join("late")
    fleet.rollouts.tick()
    assert fleet.version("late") == 1
    fleet.rollouts.resume(rollout.id)
    fleet.rollouts.tick()
    assert fleet.version("late") == 2


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


def test_two_models_roll_out_beside_each_other(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register("digits")
    fleet.register("parts")
    start(fleet)
    parts = start(fleet, model="parts")
    fleet.play()
    assert set(fleet.versions("digits").values()) == set(fleet.versions("parts").values()) == {1}
    fleet.register("parts", content="more")
    start(fleet, 2, "parts")
    fleet.rollouts.tick()
    assert sorted(str(version) for version in fleet.versions("parts").values()) == ["1"] * 5 + ["2"]
    assert set(fleet.versions("digits").values()) == {1}
    assert fleet.rollouts.get(parts.id).state == "completed"


def test_pause_holds_and_resume_goes_on(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2)
    fleet.rollouts.tick()
    paused = fleet.rollouts.pause(rollout.id, "lunch")
    assert "lunch" in paused.because.sentence
    fleet.play(8)
    assert fleet.rollouts.get(rollout.id).wave == 0
    with pytest.raises(VerbRefused):
        fleet.rollouts.pause(rollout.id)
    fleet.rollouts.resume(rollout.id)
    fleet.play()
    assert fleet.rollouts.get(rollout.id).state == "completed"


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


def test_what_was_decided_on_older_knowledge_is_not_saved(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register()
    rollout = start(fleet)
    with fleet.database.reading() as session:
        row = store.find(session, rollout.id)
    assert row is not None
    fleet.rollouts.pause(rollout.id)
    with fleet.database.session() as session:
        assert not store.save(session, row, store.rollout_of(row), {"counts": {}}, fleet.clock())
    assert fleet.rollouts.get(rollout.id).state == "paused"
    assert len(fleet.rollouts.decisions(rollout.id).items) == 2


def test_rollouts_that_are_over_and_hidden_are_not_looked_at_again(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    for _ in range(2):
        start(fleet, 2)
        fleet.play()
        start(fleet, 1)
        fleet.play()
    with fleet.database.reading() as session:
        assert len(store.claims(session)) == 1
        states = set(session.execute(select(col(RolloutRow.state))).scalars())
    assert states == {State.COMPLETED}
    assert set(fleet.versions().values()) == {1}


def test_one_rollout_that_cannot_be_decided_keeps_no_other_from_it(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.join(*SIX)
    fleet.register("digits")
    fleet.register("parts")
    broken = start(fleet)
    other = start(fleet, model="parts")
    decide_one = fleet.rollouts._decide

    def failing(row: RolloutRow) -> None:
        if row.id == broken.id:
            raise OSError("no")
        decide_one(row)

    monkeypatch.setattr(fleet.rollouts, "_decide", failing)
    with pytest.raises(OSError, match="no"):
        fleet.rollouts.tick()
    assert fleet.rollouts.get(other.id).wave == 0
    assert 1 in fleet.versions("parts").values()


def test_lists_are_filtered_and_the_unknown_is_said_to_be(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register("digits")
    fleet.register("parts")
    first, second = start(fleet), start(fleet, model="parts")
    fleet.rollouts.pause(second.id)
    assert [one.id for one in fleet.rollouts.page().items] == [second.id, first.id]
    assert [one.id for one in fleet.rollouts.page(model="digits").items] == [first.id]
    assert [one.id for one in fleet.rollouts.page(state="paused").items] == [second.id]
    assert fleet.rollouts.page(PageRequest(limit=1)).next is not None
    for ask in (
        lambda: fleet.rollouts.get("nothing"),
        lambda: fleet.rollouts.decisions("nothing"),
        lambda: fleet.rollouts.abort("nothing"),
        lambda: start(fleet, 7),
        lambda: start(fleet, model="nothing"),
    ):
        with pytest.raises(NotFound):
            ask()


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
