"""With hub and broker gone an agent goes on; when they return, nothing of the time between is missing or twice."""

import time
from typing import NamedTuple

import pytest

from tests.built import Digits
from tests.fleet.world import NO_GATES, Agent, AgentFactory, Hub, ended, eventually, rolled_out

pytestmark = pytest.mark.timeout(1200)
ALL = """
SELECT boot, count(*), count(DISTINCT sequence), min(sequence), max(sequence),
       quantile_cont(count * 1000 / (epoch_ms(ended_at) - epoch_ms(started_at)), 0.25)
FROM windows WHERE device = '{}' GROUP BY boot ORDER BY min(started_at)"""


class Boot(NamedTuple):
    """What the lake has of one boot of an agent."""

    boot: str
    windows: int
    sequences: int
    first: int
    last: int
    usual_rate: float
    """Records a second, in three windows of four at least."""


def boots_of(hub: Hub, agent: Agent) -> list[Boot]:
    return [Boot(*row) for row in hub.client.lake.query(ALL.format(agent.name)).rows]


def arrived(hub: Hub, agent: Agent, boot: int, last: int) -> list[Boot]:
    """Waits until window `last` of the agent's `boot`, from 0, is in the lake, and all that waited has been sent."""

    def there() -> list[Boot] | None:
        boots = boots_of(hub, agent)
        return boots if len(boots) > boot and boots[boot].last >= last else None

    eventually(there, f"window {last} of {agent.name} is in the lake")
    eventually(lambda: (spool := agent.seen().spool) and spool.records <= 3, f"{agent.name} has sent what waited")
    return boots_of(hub, agent)


@pytest.mark.parametrize("how", ["kill", pytest.param("stop", marks=pytest.mark.slow)])
def test_an_agent_infers_through_an_outage_and_catches_up_with_nothing_lost(
    hub: Hub, agent: AgentFactory, digits: Digits, how: str
) -> None:
    one = agent("press-07")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    before = eventually(lambda: boots_of(hub, one), "the first window is in the lake")[0].last

    getattr(hub, how)()
    gone = time.monotonic()
    grown = one.spooled_bytes() + 300
    eventually(lambda: one.spooled_bytes() > grown and time.monotonic() > gone + 5, "its spool grows")
    assert one.child.returncode is None
    away_seconds = int(time.monotonic() - gone)
    hub.start()

    # A window a second, also while nobody was there.
    (boot,) = arrived(hub, one, 0, before + away_seconds)
    assert boot.windows == boot.sequences, "none is there twice"
    assert (boot.first, boot.last) == (1, boot.windows), "none is missing"
    # A busy machine has moments in which it gives nobody anything.
    assert boot.usual_rate > 0.6 * 50, "it inferred all the time"
    device = one.runs("digits", 1)
    assert device.spool is not None
    assert device.spool.dropped == 0


def test_an_agent_that_is_killed_comes_back_with_its_model_and_its_windows(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    hub.stop()
    grown = one.spooled_bytes() + 300
    eventually(lambda: one.spooled_bytes() > grown, "its spool grows")
    one.kill()
    one.start()
    # The hub is away: what it runs is what it has on its disk.
    grown = one.spooled_bytes() + 300
    eventually(lambda: one.spooled_bytes() > grown, "it infers again, with no hub")
    hub.start()
    first, second = arrived(hub, one, 1, 3)
    for boot in (first, second):
        assert boot.windows == boot.sequences
        assert (boot.first, boot.last) == (1, boot.windows)
    # Events have a lane of their own: the first may be there before the others.
    told = eventually(
        lambda: events if ("phase", "settled") in (events := _told(hub, one, second.boot)) else None,
        "what changed since it came back is in the lake",
    )
    assert told[0] == ("started", None)
    before = _told(hub, one, first.boot)
    assert before[0] == ("started", None)
    assert ("phase", "trial") in before
    assert ("stopping", None) not in before, "it was killed"


def _told(hub: Hub, agent: Agent, boot: str) -> list[tuple[str, str | None]]:
    sql = "SELECT kind, phase, sequence FROM events WHERE device = '{}' AND boot = '{}' ORDER BY sequence"
    rows = hub.client.lake.query(sql.format(agent.name, boot)).rows
    assert [row[2] for row in rows] == list(range(1, len(rows) + 1)), "each is there once, and none is missing"
    return [(row[0], row[1]) for row in rows]


def test_a_hub_that_is_started_again_goes_on_with_its_rollouts(hub: Hub, agent: AgentFactory, digits: Digits) -> None:
    first, second = agent("press-07"), agent("press-08")
    hub.client.models.register(digits.good)
    patient = {"waves": [{"devices": 1}, {"percent": 100}], "soak_seconds": 5, "minimum_records": 20}
    made = hub.client.rollouts.create("digits", 1, {**patient, "gates": NO_GATES})
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
