"""A maintenance window, and what windows of telemetry tell: with a real hub and real agents.

The maintenance window is hours from now, whatever the hour; it comes when the site is moved to where it is that late.
"""

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from fleet_client.views import DeviceModel
from tests.built import Digits
from tests.fleet.world import NO_GATES, Agent, AgentFactory, Hub, eventually, rolled_out

pytestmark = pytest.mark.timeout(1200)


def moved(one: Agent, zone: str) -> None:
    """The site of `one` is in `zone` from now on, as its owner says it."""
    # One that has only just begun to start would be ended by the signal.
    one.online()
    config = one.gateway.config
    lines = [line for line in config.read_text().splitlines() if not line.startswith("timezone")]
    config.write_text("\n".join([f'timezone = "{zone}"', *lines]))
    os.kill(one.child.pid, signal.SIGHUP)


def waits(one: Agent) -> DeviceModel:
    """Waits until the hub is told that `one` waits for its window."""

    def waiting() -> DeviceModel | None:
        model = one.seen().model("digits")
        return model if model is not None and model.because.code == "window-closed" else None

    return eventually(waiting, lambda: f"{one.name} waits for its window; it is {one.seen().model('digits')}")


def test_a_device_is_ready_before_its_window_and_switches_inside_it_and_back_at_any_time(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07")
    moved(one, "UTC")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    hub.client.models.register(digits.worse)

    late = datetime.now(UTC) + timedelta(hours=6)
    opens, closes = (f"{late + timedelta(minutes=minutes):%H:%M}" for minutes in (-60, 60))
    # It soaks for longer than this test takes, so that there is something to abort.
    policy = {"waves": [{"percent": 100}], "soak_seconds": 600, "minimum_records": 0, "gates": NO_GATES, "rate": None}
    made = hub.client.rollouts.create("digits", 2, {**policy, "window": {"start": opens, "end": closes}})

    said = waits(one)
    assert said.phase == "preflight"
    assert f"at {opens} local time (UTC)" in said.because.sentence
    one.stop()
    # Else what the hub knows of it may still be what it said before.
    eventually(lambda: one.seen().presence == "closing", "its farewell has arrived")
    one.start()
    one.online()
    said = waits(one)
    assert said.running is not None
    assert said.running.version == 1, "also after a restart"
    events = hub.client.devices.events(one.name, limit=200).items
    assert "trial" not in {event.phase for event in events if event.version == 2}

    # Etc/GMT-6 is six hours ahead of UTC: signs are POSIX's there.
    moved(one, "Etc/GMT-6")
    one.runs("digits", 2)

    moved(one, "UTC")
    hub.client.rollouts.abort(made.id)
    one.runs("digits", 1)


def test_windows_tell_memory_and_how_many_answers_were_right(hub: Hub, agent: AgentFactory, digits: Digits) -> None:
    one = agent("press-07")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    asked = "SELECT sum(count), sum(labelled), sum(correct), min(memory_bytes) FROM windows"

    def told() -> tuple[int, int, int, int] | None:
        ((records, labelled, correct, memory_bytes),) = hub.client.lake.query(asked).rows
        return (records, labelled, correct, memory_bytes) if records else None

    records, labelled, correct, memory_bytes = eventually(told, "its windows are in the lake")
    assert labelled == records, "a replay of the catalogue's scans knows the digits"
    assert correct >= 0.9 * labelled
    assert 20e6 < memory_bytes < 1e9
