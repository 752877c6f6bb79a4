"""What the hub makes of a world that changes meanwhile: windows are compared with those of the same time."""

from dataclasses import replace

import pytest

from cloud_hub.errors import Stale
from cloud_hub.rollouts import store
from cloud_hub.rollouts.policy import Policy, Wave
from cloud_hub.rollouts.views import RolloutIn, RolloutView
from tests.fakes.paper_gateways import PaperGateways

USUAL, CHANGED = {"0": 200, "1": 200, "2": 0}, {"0": 40, "1": 360, "2": 0}
NAMES = [f"gateway-{number}" for number in range(8)]
IN_TWO = Policy(waves=(Wave(percent=30), Wave(percent=100)), rate=None)


def settled(fleet: PaperGateways) -> None:
    """Gateways that have run version 1 for some minutes, and a version 2."""
    fleet.join(*NAMES)
    fleet.run_version_1()


def rolled_out(
    fleet: PaperGateways, *, world_changes_in: int | None = None, bad: bool = False, waits_seconds: float = 0.0
) -> RolloutView:
    """How version 2 ends; from so many waves on the world is another one, for every version. A bad version does that
    by itself. A person lets it wait before it starts."""
    rollout = fleet.rollouts.create(RolloutIn(model="digits", version=2, policy=IN_TWO))
    if waits_seconds:
        fleet.rollouts.pause(rollout.id, by="anna")
        fleet.clock.pass_seconds(waits_seconds)
        fleet.infer(predictions=USUAL)
        fleet.clock.pass_seconds(31)
        fleet.rollouts.resume(rollout.id, by="anna")
    for _ in range(40):
        fleet.rollouts.tick()
        fleet.obey()
        found = fleet.rollouts.get(rollout.id)
        if found.state != "running":
            break
        changed = world_changes_in is not None and found.wave >= world_changes_in
        touched = {name for name in NAMES if changed or (bad and fleet.version(name) == 2)}
        if touched:
            fleet.infer(*touched, predictions=CHANGED, errors=20)
        if usual := set(NAMES) - touched:
            fleet.infer(*usual, predictions=USUAL)
        fleet.clock.pass_seconds(31)
    return fleet.rollouts.get(rollout.id)


def test_a_world_that_changes_in_the_last_wave_is_not_blamed_on_the_version(fleet: PaperGateways) -> None:
    settled(fleet)
    assert rolled_out(fleet, world_changes_in=1).state == "completed"


def test_the_same_change_of_a_version_alone_stops_it(fleet: PaperGateways) -> None:
    settled(fleet)
    found = rolled_out(fleet, bad=True)
    assert found.state in ("reverting", "reverted")
    assert found.because.code in ("gate-predictions-failed", "gate-errors-failed")


def test_nor_is_it_where_the_rollout_waited_a_day_before_it_began(fleet: PaperGateways) -> None:
    settled(fleet)
    assert rolled_out(fleet, world_changes_in=1, waits_seconds=86_400).state == "completed"


def test_a_bad_version_is_stopped_then_as_well(fleet: PaperGateways) -> None:
    settled(fleet)
    assert rolled_out(fleet, bad=True, waits_seconds=86_400).state in ("reverting", "reverted")


def test_what_no_gate_can_tell_any_more_is_asked_of_a_person_and_ends_with_the_answer(fleet: PaperGateways) -> None:
    settled(fleet)
    patient = Policy(waves=(Wave(percent=100),), rate=None, soak_seconds=300)
    rollout = fleet.rollouts.create(RolloutIn(model="digits", version=2, policy=patient))
    for look in range(20):
        fleet.rollouts.tick()
        fleet.obey()
        # Whoever had version 1 is asked nothing meanwhile: nobody ever is a control.
        if fleet.version(NAMES[0]) == 2:
            fleet.infer(predictions=USUAL if look < 6 else CHANGED)
        fleet.clock.pass_seconds(31)
    held = fleet.rollouts.get(rollout.id)
    assert (held.state, held.because.code) == ("running", "verdict-wanted")
    assert [gate.name for gate in held.gates if gate.exhausted] == ["predictions"]
    missing = [one.name for one in fleet.rollouts.explain(rollout.id).conditions if not one.met]
    assert missing == ["gate predictions", "approval"]
    fleet.rollouts.approve(rollout.id, "the belt carries other digits", "anna")
    fleet.rollouts.tick()
    done = fleet.rollouts.get(rollout.id)
    assert done.state == "completed"
    assert "every other gate than predictions is passed, and a person approved it" in done.because.sentence


def looks_bad(fleet: PaperGateways) -> RolloutView:
    """A version 2 on one canary that fails, which proves nothing: one device may be odd."""
    settled(fleet)
    policy = Policy(waves=(Wave(devices=1), Wave(percent=100)), rate=None)
    rollout = fleet.rollouts.create(RolloutIn(model="digits", version=2, policy=policy))
    for _ in range(8):
        fleet.rollouts.tick()
        fleet.obey()
        canary = [name for name in NAMES if fleet.version(name) == 2]
        fleet.infer(*canary, predictions=USUAL, errors=40)
        fleet.infer(*set(NAMES).difference(canary), predictions=USUAL)
        fleet.clock.pass_seconds(31)
    return fleet.rollouts.get(rollout.id)


def test_a_canary_that_looks_bad_and_proves_nothing_is_shown_to_a_person(fleet: PaperGateways) -> None:
    held = looks_bad(fleet)
    assert (held.state, held.wave, held.because.code) == ("running", 0, "verdict-wanted")
    assert "what errors asked, those that run it cannot answer" in held.because.sentence
    missing = [one for one in fleet.rollouts.explain(held.id).conditions if not one.met]
    assert [one.name for one in missing] == ["gate errors", "approval"]
    assert missing[1].want == "of errors, which nothing else has answered"
    fleet.rollouts.approve(held.id, "its disk is full", "anna", seen=held.revision)
    fleet.rollouts.tick()
    opened = fleet.rollouts.get(held.id)
    assert (opened.wave, opened.because.code) == (1, "wave-opened")
    assert "every other gate than errors passed, and a person approved it" in opened.because.sentence


def test_who_approves_what_was_shown_approves_nothing_that_is_asked_besides_since(fleet: PaperGateways) -> None:
    held = looks_bad(fleet)
    with fleet.database.session() as session:
        row = store.find(session, held.id)
        assert row is not None
        more = replace(store.rollout_of(row), asked=("errors", "memory"))
        assert store.save(session, row, more, row.seen, fleet.clock())
    with pytest.raises(Stale):
        fleet.rollouts.approve(held.id, by="anna", seen=held.revision)
    assert fleet.rollouts.get(held.id).because.code == "verdict-wanted"
