"""Of a group no more devices switch at once than may, whichever rollout, retry or turn would move them."""

from collections.abc import Sequence

import pytest

from cloud_hub.rollouts.moves import GroupBusy
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import RolloutIn
from fleet_contract.report import Phase
from tests.cloud_hub.rollouts.limited_rollout import TEN, connected, ordered, start
from tests.fakes.paper_gateways import PaperGateways


def test_never_two_of_a_pair_switch_at_once(fleet: PaperGateways) -> None:
    for number, name in enumerate(TEN):
        fleet.join(name, pair=f"p{number // 2}")
    fleet.register()
    fleet.rollouts.tick()
    connected(fleet)
    start(fleet, group={"label": "pair"})
    fleet.rollouts.tick()
    first = ordered(fleet)
    assert sorted(int(name[3:]) // 2 for name in first) == [0, 1, 2, 3, 4]
    (still,) = [name for name in first if name in ("gw-0", "gw-1")]
    fleet.obey(*(first - {still}))
    connected(fleet, *(set(TEN) - first))
    fleet.rollouts.tick()
    assert set(TEN) - ordered(fleet) == {"gw-0", "gw-1"} - {still}


def test_of_a_large_group_only_so_many_are_asked_about_as_may_move(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.join(*TEN, site="lyon")
    fleet.register()
    fleet.rollouts.tick()
    connected(fleet, *TEN[2:])
    for _ in range(3):
        fleet.rollouts.tick()
    rollout, bring, asked = start(fleet, group={"label": "site"}), fleet.orders.bring, list[str]()

    def noted(devices: Sequence[str]) -> set[str]:
        asked.extend(devices)
        return bring(devices)

    monkeypatch.setattr(fleet.orders, "bring", noted)
    counts = []
    for _ in range(3):
        asked.clear()
        fleet.rollouts.tick()
        counts.append(len(asked))
    # One that may move; and the two that are away, once more after the decision that all others wait.
    assert counts == [3, 2, 0]
    assert fleet.rollouts.get(rollout).counts.held == {"away": 2, "group": 7}
    fleet.obey(*ordered(fleet))
    asked.clear()
    fleet.rollouts.tick()
    assert (len(ordered(fleet)), len(set(asked) - ordered(fleet))) == (2, 0)


def test_one_of_a_pair_waits_for_the_other_that_the_same_turn_moves(fleet: PaperGateways) -> None:
    fleet.join("seed-a", site="a")
    fleet.join("seed-b", site="b")
    fleet.register()
    fleet.register("vibration")
    fleet.rollouts.tick()
    connected(fleet)
    start(fleet, selector="site = b", soak_seconds=3600)
    capped = {"waves": [{"percent": 100}], "selector": "site = a", "soak_seconds": 3600, "rate": None}
    policy = Policy.model_validate({**capped, "group": {"label": "pair"}})
    fleet.rollouts.create(RolloutIn(model="vibration", version=1, policy=policy))
    fleet.rollouts.tick()
    fleet.join("gw-0", site="a", pair="p0")
    fleet.join("gw-1", site="b", pair="p0")
    connected(fleet, "gw-0", "gw-1")
    fleet.orders.bring(["gw-0", "gw-1"])
    assert (fleet.versions()["gw-1"], fleet.versions("vibration")["gw-0"]) == (1, None)


def test_what_is_tried_again_brings_nothing_along_that_is_to_wait(fleet: PaperGateways) -> None:
    fleet.join("gw-0", "gw-1", pair="p0")
    fleet.register()
    fleet.register("vibration")
    fleet.rollouts.tick()
    connected(fleet)
    start(fleet)
    fleet.rollouts.tick()
    fleet.obey(phase=Phase.REJECTED)
    fleet.rollouts.tick()
    one_of_a_pair = Policy.model_validate({"waves": [{"percent": 100}], "group": {"label": "pair"}})
    fleet.rollouts.create(RolloutIn(model="vibration", version=1, policy=one_of_a_pair))
    fleet.rollouts.tick()
    assert fleet.versions("vibration") == {"gw-0": 1, "gw-1": None}
    assert fleet.rollouts.retry("gw-1", "digits").version == 1
    assert fleet.versions("vibration") == {"gw-0": 1, "gw-1": None}


def test_what_is_tried_again_waits_for_its_group_as_well(fleet: PaperGateways) -> None:
    fleet.join("a1", "a2", pair="a")
    fleet.register()
    fleet.rollouts.tick()
    connected(fleet)
    start(fleet, group={"label": "pair"}, stop_failed_percent=99)
    fleet.rollouts.tick()
    (first,) = ordered(fleet)
    fleet.obey(first, phase=Phase.REJECTED)
    fleet.rollouts.tick()
    assert ordered(fleet) == {"a1", "a2"}
    with pytest.raises(GroupBusy):
        fleet.rollouts.retry(first, "digits")
    (second,) = {"a1", "a2"} - {first}
    fleet.obey(second)
    assert fleet.rollouts.retry(first, "digits").version == 1
