"""What gates measured is kept over the whole time of a rollout, and stays few."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.rollouts import readings, store
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.readings import MAX_READINGS, PERIOD_SECONDS, slot_of
from cloud_hub.rollouts.views import RolloutIn
from fleet_contract.report import Phase
from tests.fakes.paper_gateways import PaperGateways

GATE = {
    "name": "errors",
    "verdict": "pass",
    "sentence": "",
    "value": 0.01,
    "lower": 0.0,
    "upper": 0.02,
    "threshold": 0.02,
}


@given(st.floats(0, 10 * 365 * 86_400))
def test_slots_are_few_at_any_age_and_hold_the_moment_that_they_stand_for(age_seconds: float) -> None:
    slot, every = slot_of(age_seconds)
    assert slot % every == 0
    assert slot // every < MAX_READINGS
    assert slot * PERIOD_SECONDS <= age_seconds < (slot + every) * PERIOD_SECONDS


def a_rollout(fleet: PaperGateways, **policy: object) -> str:
    fleet.join("gw-0", "gw-1")
    fleet.register()
    wanted = RolloutIn(model="digits", version=1, policy=Policy.model_validate({"rate": None, **policy}))
    return fleet.rollouts.create(wanted).id


def look(fleet: PaperGateways, rollout: str, value: float, *, final: bool = False) -> None:
    with fleet.database.session() as session:
        row = store.find(session, rollout)
        assert row is not None
        readings.keep(session, row, [{**GATE, "value": value}], fleet.clock(), final=final)


def values(fleet: PaperGateways, rollout: str) -> list[float]:
    return [reading.value for gate in fleet.rollouts.gates(rollout) for reading in gate.readings]


def test_looks_in_the_same_ten_seconds_are_one_reading_but_the_last_one_counts(fleet: PaperGateways) -> None:
    rollout = a_rollout(fleet)
    for value in (0.1, 0.2, 0.3):
        look(fleet, rollout, value)
        fleet.clock.pass_seconds(1)
    fleet.clock.pass_seconds(8)
    look(fleet, rollout, 0.4)
    assert values(fleet, rollout) == [0.1, 0.4]
    look(fleet, rollout, 0.5, final=True)
    assert values(fleet, rollout) == [0.1, 0.5]


def test_a_rollout_of_hours_has_no_more_readings_than_one_of_an_hour_and_they_are_spread_evenly(
    fleet: PaperGateways,
) -> None:
    rollout = a_rollout(fleet)
    for number in range(3 * MAX_READINGS):
        look(fleet, rollout, number)
        fleet.clock.pass_seconds(PERIOD_SECONDS)
    found = values(fleet, rollout)
    assert MAX_READINGS // 2 <= len(found) <= MAX_READINGS
    assert {after - before for before, after in pairwise(found)} == {4}
    assert found[0] == 0


def test_the_reading_that_a_rollout_was_stopped_for_ends_the_line(fleet: PaperGateways) -> None:
    rollout = a_rollout(fleet, waves=[{"devices": 1}, {"percent": 100}])
    fleet.rollouts.tick()
    fleet.obey()
    canary = next(name for name, version in fleet.versions().items() if version == 1)
    fleet.infer(canary, predictions={"0": 10, "1": 10, "2": 0})
    fleet.rollouts.tick()
    first = fleet.rollouts.gates(rollout)[0].readings[-1]
    fleet.clock.pass_seconds(1)
    fleet.obey(canary, phase=Phase.REJECTED)
    fleet.rollouts.tick()

    assert fleet.rollouts.get(rollout).state == "reverting"
    (*_, last) = fleet.rollouts.gates(rollout)[0].readings
    assert (last.at - first.at).total_seconds() == 1
    kept = len(fleet.rollouts.gates(rollout)[0].readings)
    fleet.clock.pass_seconds(60)
    fleet.rollouts.tick()
    assert len(fleet.rollouts.gates(rollout)[0].readings) == kept, "nothing is looked at on the way back"


def test_failures_are_told_by_reason_with_how_many_and_who(fleet: PaperGateways) -> None:
    rollout = a_rollout(fleet, waves=[{"percent": 100}], stop_failed_percent=99)
    fleet.rollouts.tick()
    assert fleet.rollouts.get(rollout).failures == []
    fleet.obey("gw-0")
    fleet.obey("gw-1", phase=Phase.REJECTED)
    fleet.rollouts.tick()
    (failure,) = fleet.rollouts.get(rollout).failures
    assert failure.model_dump() == {
        "code": "by-a-test",
        "sentence": "A test says so.",
        "devices": 1,
        "examples": ["gw-1"],
    }
    assert fleet.rollouts.decisions(rollout).items[0].counts.eligible == 2


def test_many_failures_name_a_few_devices_and_count_all(fleet: PaperGateways) -> None:
    fleet.join(*(f"more-{number}" for number in range(8)))
    rollout = a_rollout(fleet, waves=[{"percent": 100}], on_stop="pause")
    fleet.rollouts.tick()
    fleet.obey(phase=Phase.REJECTED)
    fleet.rollouts.tick()
    (failure,) = fleet.rollouts.get(rollout).failures
    assert failure.devices == 10
    assert failure.examples == ["gw-0", "gw-1", "more-0", "more-1", "more-2"]
