"""What may be asked of a rollout, and what may not."""

from typing import Any

import pytest
from pydantic import ValidationError

from cloud_hub.rollouts.policy import Policy


def test_everything_has_a_default() -> None:
    policy = Policy()
    assert [wave.name for wave in policy.waves] == ["1 %", "5 %", "25 %", "100 %"]
    assert policy.on_stop == "revert"
    assert policy.gates.errors is not None
    assert policy.gates.predictions is not None


def test_a_policy_survives_being_stored() -> None:
    policy = Policy.model_validate({"waves": [{"percent": 12.5}], "selector": "target = cpu-vnni", "gates": {}})
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy


@pytest.mark.parametrize(
    "wrong",
    [
        {"waves": []},
        {"waves": [{}]},
        {"waves": [{"devices": 1, "percent": 5}]},
        {"waves": [{"devices": 0}]},
        {"waves": [{"percent": 101}]},
        {"waves": [{"percent": 50}, {"percent": 5}]},
        {"waves": [{"devices": 5}, {"devices": 5}]},
        {"success_percent": 0},
        {"soak_seconds": -1},
        {"on_stop": "shrug"},
        {"gates": {"errors": {"max_increase": 2}}},
        {"selektor": {}},
        {"rate": {"devices_per_minute": 0}},
        {"waves": [{"devices": 10**9}]},
        {"soak_seconds": 1e200},
        {"deadline_seconds": 1e30},
        {"minimum_records": 10**15},
        {"minimum_devices": 10**9},
        {"stop_failed_after": 10**20},
        {"max_in_flight": 10**20},
        {"group": {"label": "ha-pair", "max_in_flight": 10**20}},
        {"rate": {"devices_per_minute": 5, "growth_factor": 0.5}},
        {"max_in_flight": 0},
        {"group": {"label": ""}},
        {"approval": {"waves": "some"}},
        {"window": {"start": "2:00", "end": "04:00"}},
        {"window": {"start": "02:00", "end": "02:00"}},
        {"window": {"start": "02:00", "end": "24:00"}},
        {"window": {"days": ["mon", "mon"], "start": "02:00", "end": "04:00"}},
        {"window": {"days": [], "start": "02:00", "end": "04:00"}},
        {"deadline_seconds": 0},
        {"heard_percent": 101},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate(wrong)


def test_a_selector_that_is_none_is_refused_with_the_place_and_an_example() -> None:
    for name in ("selector", "lab"):
        with pytest.raises(ValidationError, match=r"wrong at column 8: a value.*For example: site = lyon"):
            Policy.model_validate({name: "site = and"})
