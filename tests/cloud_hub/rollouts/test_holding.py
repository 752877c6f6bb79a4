"""Who is held back, how many, and by what."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cloud_hub.rollouts.engine import Counts, LeftOver, Rollout, Snapshot
from cloud_hub.rollouts.holding import Pinned, holds
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from fleet_contract.because import Because

ROLLOUT = Rollout("r1", "digits", 3, State.RUNNING, Because("soaking", "It soaks."), wave=1, exposed=2)
#: 100 devices, of which 20 are exposed.
SNAPSHOT = Snapshot(eligible=100, waves=(5, 20, 100), counts=Counts(20, 20, 20), carried_out=True)


def held(
    snapshot: Snapshot, state: State = State.RUNNING, pinned: int = 0, pinned_later: int = 0, **policy: Any
) -> Mapping[str, tuple[int, str]]:
    found = holds(replace(ROLLOUT, state=state), Policy.model_validate(policy), snapshot, Pinned(pinned, pinned_later))
    return {one.code: (one.devices, one.sentence) for one in found}


def test_those_of_later_waves_are_held_by_their_wave() -> None:
    assert held(SNAPSHOT) == {"wave": (80, "They belong to wave 3.")}
    before = replace(ROLLOUT, wave=-1, exposed=0)
    (hold,) = holds(before, Policy(), replace(SNAPSHOT, counts=Counts()), Pinned())
    assert (hold.devices, hold.sentence) == (100, "They belong to waves 1 to 3.")
    assert holds(replace(ROLLOUT, wave=2, exposed=3), Policy(), SNAPSHOT, Pinned()) == ()
    # Of a small fleet some waves add nobody.
    assert held(replace(SNAPSHOT, waves=(20, 20, 20, 100)))["wave"] == (80, "They belong to wave 4.")


@pytest.mark.parametrize(
    ("code", "policy", "sentence"),
    [
        ("rate", {"rate": {"devices_per_minute": 20, "growth_factor": 2}}, "40 a minute are offered it now, and more"),
        ("rate", {"rate": {"devices_per_minute": 20}}, "20 a minute are offered it now."),
        ("cap", {"max_in_flight": 4}, "4 are on their way, and at most 4 may be."),
        ("group", {"group": {"label": "ha-pair"}}, "At most 1 with the same ha-pair may switch at once"),
        ("jitter", {"rate": {"devices_per_minute": 9, "jitter_seconds": 90}}, "moment of its own within 90 s"),
        ("away", {}, "They are not connected, and have their order when they are back."),
    ],
)  # fmt: skip
def test_an_exposed_device_without_an_order_is_held_by_what_its_policy_says(
    code: str, policy: dict[str, Any], sentence: str
) -> None:
    snapshot = replace(SNAPSHOT, counts=Counts(24, 24, 20), held={code: 7}, carried_out=False)
    devices, said = held(snapshot, **policy)[code]
    assert devices == 7
    assert sentence in said


def test_what_holds_most_of_them_comes_first() -> None:
    found = holds(
        ROLLOUT,
        Policy(max_in_flight=9),
        replace(SNAPSHOT, counts=Counts(13, 13, 13), held={"away": 2, "cap": 5}),
        Pinned(3),
    )
    assert [(one.code, one.devices) for one in found] == [("cap", 5), ("away", 2), ("wave", 80), ("pinned", 3)]


def test_a_frozen_fleet_is_what_holds_them_and_nothing_else() -> None:
    snapshot = replace(SNAPSHOT, counts=Counts(12, 12, 12), held={"rate": 8}, frozen="ann froze the fleet.")
    assert held(snapshot) == {"frozen": (8, "ann froze the fleet."), "wave": (80, "They belong to wave 3.")}


def test_one_that_has_its_order_is_held_by_its_window_or_by_its_silence() -> None:
    snapshot = replace(SNAPSHOT, counts=Counts(20, 17, 10, 0, 4))
    window = {"start": "22:00", "end": "04:00", "days": ["mon", "tue"]}
    found = held(snapshot, window=window)
    assert found["window"][0] == 4
    assert "switch on mon, tue from 22:00 to 04:00, by the clock on their wall" in found["window"][1]
    assert found["unheard"][0] == 3
    assert "switch from 22:00 to 04:00," in held(snapshot, window={"start": "22:00", "end": "04:00"})["window"][1]


@pytest.mark.parametrize("state", [State.PAUSED, State.STOPPED])
def test_where_a_person_must_act_all_that_is_left_waits_for_that(state: State) -> None:
    found = held(replace(SNAPSHOT, held={"rate": 3}), state)
    assert set(found) == {state.value}
    assert found[state.value][0] == 80


def test_on_the_way_back_it_is_those_that_still_have_it() -> None:
    snapshot = Snapshot(left_over=LeftOver(returning=6, unreachable=2))
    back, away = (
        "They still have version 3, and are ordered back.",
        "They are not connected, and go back when they are.",
    )
    assert held(snapshot, State.REVERTING, pinned=5) == {"returning": (6, back), "away": (2, away)}
    frozen = held(replace(snapshot, frozen="ann froze the fleet."), State.REVERTING)
    assert frozen["frozen"] == (6, "ann froze the fleet.")


def test_the_pinned_are_told_and_of_what_is_over_nothing() -> None:
    assert held(replace(SNAPSHOT, waves=(5, 20)), pinned=2)["pinned"][0] == 2
    for state in (State.REVERTED, State.ABORTED, State.SUPERSEDED):
        assert held(replace(SNAPSHOT, held={"rate": 3}), state, pinned=2) == {}
    assert set(held(replace(SNAPSHOT, waves=(5, 20), held={"away": 3}), State.COMPLETED, pinned=2)) == {
        "away",
        "pinned",
    }


def test_those_that_were_pinned_after_their_offer_hide_none_that_wait_for_theirs() -> None:
    # Of 103 devices 20 were offered it, and 3 of these are pinned: 83 were not.
    for state in (State.PAUSED, State.STOPPED):
        assert held(SNAPSHOT, state, pinned=3, pinned_later=3)[state.value][0] == 83
    assert held(SNAPSHOT, pinned=3, pinned_later=3)["wave"][0] == 83
    assert held(SNAPSHOT, State.PAUSED, pinned=3)["paused"][0] == 80
