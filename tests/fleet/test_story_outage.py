"""With hub and broker gone an agent goes on; when they return, nothing of the time between is missing or twice."""

import pytest

from fleet_client.views import Device
from tests.built import Digits
from tests.fleet.world import Agent, AgentFactory, Hub, ended, eventually, rolled_out

pytestmark = pytest.mark.timeout(240)
ALL = """
SELECT boot, count(*), count(DISTINCT sequence), min(sequence), max(sequence), sum(count),
       epoch_ms(min(started_at)), epoch_ms(max(ended_at))
FROM windows WHERE device = '{}' GROUP BY boot ORDER BY min(started_at)"""


def windows_of(hub: Hub, agent: Agent) -> list[tuple[object, ...]]:
    """A row for each boot: windows, sequences, first, last, records, from and to in milliseconds."""
    return [tuple(row[1:]) for row in hub.client.lake.query(ALL.format(agent.name)).rows]


def drained(agent: Agent) -> Device:
    """Waits until the hub has nearly all that the agent has: the newest window may be on its way."""

    def empty() -> Device | None:
        device = agent.seen()
        return device if device.presence == "online" and device.spool and device.spool.records <= 3 else None

    return eventually(empty, f"{agent.name} has sent what waited", 60)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_an_agent_infers_through_an_outage_and_catches_up_with_nothing_lost(
    hub: Hub, agent: AgentFactory, digits: Digits, how: str
) -> None:
    one = agent("press-07")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    eventually(lambda: windows_of(hub, one), "the first window is in the lake")
    ((_, _, _, before, *_),) = windows_of(hub, one)

    getattr(hub, how)()
    # 1 s a window: its spool grows while nobody listens.
    sizes = [_spooled(one)]
    eventually(lambda: sizes.append(_spooled(one)) or sizes[-1] > sizes[0] + 300, "its spool grows", 30)
    assert one.child.returncode is None
    hub.start()

    device = drained(one)
    model = device.model("digits")
    assert model is not None
    assert model.running is not None
    assert model.running.version == 1
    assert device.spool is not None
    assert device.spool.dropped == 0
    ((windows, sequences, first, last, records, started, finished),) = windows_of(hub, one)
    assert windows == sequences, "none is there twice"
    assert (first, last) == (1, windows), "none is missing"
    assert isinstance(last, int)
    assert isinstance(before, int)
    assert last >= before + 4, "and the outage was not short"
    assert isinstance(records, int)
    seconds = (finished - started) / 1000  # type: ignore[operator]
    assert records > 0.6 * 50 * (seconds - 3), "it inferred all the time"


def test_an_agent_that_is_killed_comes_back_with_its_model_and_its_windows(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    hub.stop()
    grown = _spooled(one) + 300
    eventually(lambda: _spooled(one) > grown, "its spool grows", 30)
    one.kill()
    one.start()
    assert "digits" not in one.child.tail(0)
    # The hub is away: what it runs is what it has on its disk.
    grown = _spooled(one) + 300
    eventually(lambda: _spooled(one) > grown, "it infers again, with no hub", 30)
    hub.start()
    drained(one)
    boots = windows_of(hub, one)
    assert len(boots) == 2
    for windows, sequences, first, last, *_ in boots:
        assert windows == sequences
        assert (first, last) == (1, windows)


def test_a_hub_that_is_started_again_goes_on_with_its_rollouts(hub: Hub, agent: AgentFactory, digits: Digits) -> None:
    first, second = agent("press-07"), agent("press-08", target="cpu-avx2")
    hub.client.models.register(digits.good)
    patient = {"waves": [{"devices": 1}, {"percent": 100}], "soak_seconds": 5, "minimum_records": 20}
    made = hub.client.rollouts.create("digits", 1, {**patient, "gates": {"errors": None, "predictions": None}})
    eventually(lambda: hub.client.rollouts.get(made.id).counts.succeeded == 1, "the canary runs it")
    hub.kill()
    hub.start()
    done = ended(hub, made.id)
    assert done.state == "completed", done.because
    generations = []
    for one in (first, second):
        device = one.runs("digits", 1)
        assert device.generation_reported == device.generation_wanted
        generations.append(device.generation_wanted)
    assert generations == [1, 1], "a restart alone orders nothing new"
    assert [decision.wave for decision in reversed(hub.client.rollouts.decisions(made.id).items)][-1] == 1


def _spooled(agent: Agent) -> int:
    """Bytes in the agent's spool on disk."""
    return sum(file.stat().st_size for file in (agent.state / "spool").rglob("*") if file.is_file())
