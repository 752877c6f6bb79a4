"""A fleet as arrays is the fleet that the hub would see."""

import numpy as np
import pytest

from cloud_hub.rollouts.policy import Policy, Wave
from cloud_hub.rollouts.waves import Stander, draw
from cloud_hub.simulation.fleet import Fleet, build, device_id
from cloud_hub.simulation.scenario import Scenario
from cloud_hub.simulation.timeline import Timeline

POLICY = Policy(waves=tuple(Wave(percent=percent) for percent in (1, 5, 25, 100)))


def fleet(policy: Policy = POLICY, **said: float) -> Fleet:
    return build(Scenario(**{"devices": 500, **said}), policy, "salt", np.random.default_rng(7))  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", [POLICY, POLICY.model_copy(update={"lab": "ring=lab"})], ids=["plain", "lab"])
@pytest.mark.parametrize("devices", [1, 7, 500])
def test_each_wave_has_as_many_devices_as_the_hub_would_draw(policy: Policy, devices: int) -> None:
    made = fleet(policy, devices=devices, targets=1)
    lab = 5 if policy.lab else 0
    lines = draw(policy, "salt", [Stander(device_id(at), "target-1", at < lab) for at in range(devices)])
    assert made.ends == tuple(line.total for line in lines)


def test_each_wave_has_as_many_of_each_target_as_the_hub_would_draw() -> None:
    chance = np.random.default_rng(7)
    made = build(Scenario(devices=500, targets=5), POLICY, "salt", chance)
    first = np.bincount(made.target[: made.ends[0]], minlength=5)
    assert (first == 1).all()
    assert made.ends == (5, 25, 125, 500)


def test_every_target_is_there_even_in_a_small_fleet() -> None:
    assert set(fleet(devices=12, targets=12).target.tolist()) == set(range(12))


def test_who_is_there_by_day_comes_at_eight() -> None:
    made = fleet(by_day=1.0, absent=0.0, start_hour=19.0)
    assert not made.connected(slice(None), 0.0).any()
    assert (made.next_connected(slice(None), 0.0) == 13 * 3600).all()
    assert made.connected(slice(None), 13 * 3600.0).all()


def test_the_absent_never_come() -> None:
    made = fleet(absent=0.5)
    assert np.isinf(made.next_connected(slice(None), 0.0)[made.absent]).all()


def test_a_timeline_counts_what_has_passed() -> None:
    line = Timeline(100)
    line.add(np.array([0.0, 0.5, 1.0, 7.2, 100.0, np.inf]))
    assert (line.passed, line.next_within(5)) == (1, 1)
    line.advance(1)
    assert (line.passed, line.next_within(5), line.next_within(7)) == (3, None, 7)
    line.advance(500)
    assert line.passed == 5
