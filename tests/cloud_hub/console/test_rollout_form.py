"""What is typed into the form is the policy that is asked for; what is wrong is told at its field, all at once."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from cloud_hub.console.rollout_fields import FIELDS
from cloud_hub.console.rollout_form import Fault, asked, at_first
from cloud_hub.rollouts.policy import Approval, Group, MaintenanceWindow, Policy, Rate, Wave
from cloud_hub.rollouts.views import RolloutIn

SALT = "5a17" * 4


def typed(**changed: str) -> RolloutIn | dict[str, Fault]:
    named = {name.replace("__", "."): text for name, text in changed.items()}
    return asked("digits", 3, "default", SALT, at_first() | named)


def policy(**changed: str) -> Policy:
    wanted = typed(**changed)
    assert isinstance(wanted, RolloutIn), wanted
    return wanted.policy


def faults(**changed: str) -> dict[str, Fault]:
    found = typed(**changed)
    assert isinstance(found, dict), found
    return found


def leaves(kind: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, info in kind.model_fields.items():
        parts: Any = (info.annotation, *get_args(info.annotation))
        part = next((one for one in parts if isinstance(one, type) and issubclass(one, BaseModel)), None)
        if part is None or part is Wave:
            yield f"{before}{name}"
        else:
            yield from leaves(part, f"{before}{name}.")


def test_every_part_of_a_policy_has_a_field() -> None:
    assert set(FIELDS) == set(leaves(Policy))


def test_nothing_typed_is_the_default_policy() -> None:
    assert policy() == Policy()
    assert typed() == RolloutIn(model="digits", version=3, salt=SALT)


def test_all_that_a_policy_can_say_can_be_typed() -> None:
    wanted = policy(
        selector="site = lyon",
        lab="has lab",
        waves="2, 10 %,100%",
        approval__waves="after-first",
        approval__second_person="on",
        soak_seconds="90.5",
        on_stop="pause",
        rate__devices_per_minute="30",
        rate__growth_factor="1.5",
        max_in_flight="12",
        group__label="pair",
        window__days="Sat sun",
        window__start="22:00",
        window__end="04:30",
        deadline_seconds="600",
        retries="2",
    )
    assert wanted == Policy(
        selector="site = lyon",
        lab="has lab",
        waves=(Wave(devices=2), Wave(percent=10), Wave(percent=100)),
        approval=Approval(waves="after-first", second_person=True),
        soak_seconds=90.5,
        on_stop="pause",
        rate=Rate(devices_per_minute=30, growth_factor=1.5, until_proven=True),
        max_in_flight=12,
        group=Group(label="pair"),
        window=MaintenanceWindow(days=("sat", "sun"), start="22:00", end="04:30"),
        deadline_seconds=600,
        retries=2,
    )


def test_a_gate_with_nothing_in_it_is_not_judged() -> None:
    gates = [name for name in FIELDS if name.startswith("gates.errors.")]
    wanted = asked("digits", 3, "default", SALT, at_first() | dict.fromkeys(gates, ""))
    assert isinstance(wanted, RolloutIn)
    assert wanted.policy.gates.errors is None
    assert wanted.policy.gates.predictions is not None


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("waves", "1 %, a few", "Wave 2, 'a few', is neither a percentage nor a number of devices."),
        ("waves", "5, 2", "Each wave must be larger than the one before, and devices go [5, 2]."),
        ("waves", "1.5", "Wave 1, '1.5', is neither a percentage nor a number of devices."),
        ("waves", "0 %", "It should be greater than 0."),
        ("success_percent", "lots", "'lots' is no number."),
        ("success_percent", "nan", "'nan' is no number."),
        ("soak_seconds", "-3", "It should be greater than or equal to 0."),
        ("minimum_records", "2.5", "It should be a valid integer, got a number with a fractional part."),
        ("on_stop", "explode", "It should be 'revert' or 'pause'."),
        ("window.start", "02:00", "It is needed here."),
        ("group.max_in_flight", "3", "It is needed here."),
    ],
)
def test_what_is_wrong_is_told_at_its_field(field: str, text: str, said: str) -> None:
    found = faults(**{field.replace(".", "__"): text})
    where = {"window.start": "window.end", "group.max_in_flight": "group.label"}.get(field, field)
    assert {name: fault.what for name, fault in found.items()} == {where: said}


def test_a_wrong_selector_says_at_which_of_the_typed_columns() -> None:
    fault = faults(selector="  site == lyon or")["selector"]
    assert fault.column == 18
    assert "column 18" in fault.what
    assert fault.remedy.startswith("For example: ")


def test_all_faults_are_told_at_once_in_the_order_of_the_form() -> None:
    found = faults(retries="no", soak_seconds="-1", selector="(", waves="x")
    assert list(found) == ["selector", "waves", "soak_seconds", "retries"]
