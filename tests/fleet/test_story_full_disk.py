"""A disk with no room, on either side: it is said, nothing is lost or harmed, and it ends by itself.

A limit on how large a file may grow stands in for the disk: the kernel then fails real writes of the real processes,
for any user, and lifting it is somebody making room.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fleet_client.demo.child import Child
from fleet_client.views import Device
from tests.built import Digits
from tests.fleet.world import AgentFactory, Hub, eventually, rolled_out

pytestmark = pytest.mark.timeout(1200)
COUNTS = "SELECT count(*), count(DISTINCT (device, boot, sequence)), max(sequence) FROM windows"


@contextmanager
def no_room(child: Child, room_bytes: int) -> Iterator[None]:
    """No file of the process grows above `room_bytes`."""
    before = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (room_bytes, before[1]))
    try:
        yield
    finally:
        if child.returncode is None:
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, before)


def test_an_agent_with_no_room_for_a_new_version_says_so_and_takes_it_once_there_is(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    hub.client.models.register(digits.worse)
    policy = {"waves": [{"percent": 100}], "soak_seconds": 0, "minimum_records": 0}
    # Less than the artifact; more than a report, a journal or the log need.
    with no_room(one.child, 16_000):
        made = hub.client.rollouts.create("digits", 2, {**policy, "gates": {"errors": None, "predictions": None}})

        def troubled() -> Device | None:
            device = one.seen()
            model = device.model("digits")
            said = [*device.troubles, *([model.because] if model else [])]
            return (
                device
                if any("disk" in str(because).lower() or "file too large" in str(because).lower() for because in said)
                else None
            )

        device = eventually(troubled, "the device says what is wrong")
        model = device.model("digits")
        assert model is not None
        assert model.running is not None
        assert model.running.version == 1, "what ran goes on"
        assert model.phase != "rejected", "a full disk is no fault of the version"
        assert hub.client.rollouts.get(made.id).state == "running"
    one.runs("digits", 2)
    eventually(lambda: one.seen().troubles == (), "nothing is wrong any more")


def test_a_hub_with_no_room_says_so_acks_nothing_and_loses_nothing(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    eventually(lambda: hub.client.lake.query(COUNTS).rows[0][0] > 2, "windows arrive")
    with no_room(hub.child, 0):
        health = eventually(
            lambda: now if (now := hub.client.health()).status == "degraded" else None, "the hub says what is wrong"
        )
        assert health.troubles
        before = hub.client.lake.query(COUNTS).rows[0][0]
        eventually(lambda: one.spooled_bytes() > 3_000, "what is not acked waits on the device")
    after = eventually(
        lambda: row if (row := hub.client.lake.query(COUNTS).rows[0])[0] > before + 3 else None, "it catches up", 90
    )
    windows, names, last = after
    assert windows == names == last, "each once, none missing"
    eventually(lambda: hub.client.health().status == "ok", "the hub is well again")
    assert one.online().spool.dropped == 0  # type: ignore[union-attr]
