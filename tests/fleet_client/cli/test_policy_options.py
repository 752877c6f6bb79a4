"""What the help says of a policy's options is what the hub does where they are not given."""

import re

import click
import pytest

from cloud_hub.rollouts.policy import Policy
from fleet_client.cli.rollouts import create, preview

#: Options of what a policy has in parts, and what they are there.
PARTS = {
    "per_minute": "rate.devices_per_minute",
    "growth": "rate.growth_factor",
    "until_proven": "rate.until_proven",
    "jitter": "rate.jitter_seconds",
    "approval": "approval.waves",
    "group": "group.max_in_flight",
    "second_person": "approval.second_person",
}
NOT_OF_A_POLICY = {"model", "version", "files", "file", "shadow", "salt", "watch", "show_wave", "limit"}
#: They make the selector, together.
NARROWING = {"select", "labels", "targets"}


def shown(value: object) -> str | None:
    match value:
        # What a flag is without it, its words say.
        case None | bool():
            return None
        case tuple():
            return ", ".join(f"{wave.percent:g}%" for wave in value)
        case float() | int():
            return f"{value:g}"
        case _:
            return str(value)


@pytest.mark.parametrize("command", [create, preview], ids=["create", "preview"])
def test_the_help_names_the_hubs_own_defaults(command: click.Command) -> None:
    checked = 0
    for option in command.params:
        name = option.name or ""
        if not isinstance(option, click.Option) or name in NOT_OF_A_POLICY | NARROWING:
            continue
        value: object = Policy()
        for part in PARTS.get(name, name).split("."):
            value = getattr(value, part, None)
        said = re.search(r"\[default: (.*)\]", option.help or "")
        assert (said[1] if said else None) == shown(value), name
        checked += 1
    assert checked >= 18
