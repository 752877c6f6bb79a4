"""Draining sends every window until the hub has it, and each is counted once, whatever is lost, late or killed."""

import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.core.drain import (
    FIRST_TIMEOUT_SECONDS,
    LONGEST_TIMEOUT_SECONDS,
    Backlog,
    Drain,
    Flight,
    Send,
    Wait,
    acked,
    disconnected,
    following,
    sent,
    timeout_seconds,
)
from edge_agent.telemetry.spool import Spool
from fleet_contract.telemetry import Ack, Batch
from tests.fakes.windows import a_window


def ack(through: int, boot: str = "b1") -> Ack:
    return Ack("press-1", boot, through)


def in_flight(after: int = 10, through: int = 20, *, at: float = 100.0, boot: str = "b1") -> Drain:
    return sent(Drain(), Send(boot, after, after), through, at)


def test_nothing_is_sent_when_nothing_waits():
    assert following(Drain(), None, 0.0) == Wait(None)


def test_windows_that_wait_are_sent_at_once_after_what_the_hub_has():
    assert following(Drain(), Backlog("b1", 10, 20), 0.0) == Send("b1", 10, 10)


def test_only_one_batch_is_in_flight():
    assert following(in_flight(), Backlog("b1", 10, 35), 100.0) == Wait(100.0 + FIRST_TIMEOUT_SECONDS)


def test_an_ack_lets_the_next_batch_go():
    drain = acked(in_flight(), ack(20), mark=10)
    assert drain == Drain()
    assert following(drain, Backlog("b1", 20, 35), 100.1) == Send("b1", 20, 20)


def test_a_batch_that_is_not_answered_is_sent_again_with_longer_and_longer_waits():
    drain, now, waits = Drain(), 0.0, []
    for _ in range(6):
        step = following(drain, Backlog("b1", 10, 20), now)
        assert step == Send("b1", 10, 10)
        drain = sent(drain, step, 20, now)
        wait = following(drain, Backlog("b1", 10, 20), now)
        assert isinstance(wait, Wait)
        waits.append(wait.until - now)
        now = wait.until
    assert waits == [10, 20, 40, 60, 60, 60]
    assert timeout_seconds(10**9) == LONGEST_TIMEOUT_SECONDS


def test_a_new_connection_sends_at_once_what_was_in_flight():
    assert following(disconnected(in_flight()), Backlog("b1", 10, 20), 100.1) == Send("b1", 10, 10)


def test_a_hub_that_stands_before_the_batch_gets_all_that_is_left_from_there():
    # Its lake was restored from a backup: it says 4, and what it once had up to 10 is gone here.
    drain = acked(in_flight(), ack(4), mark=10)
    assert following(drain, Backlog("b1", 10, 20), 100.1) == Send("b1", 4, 10)


def test_the_rewound_mark_is_said_again_when_that_batch_too_is_lost():
    drain = acked(in_flight(), ack(4), mark=10)
    drain = sent(drain, Send("b1", 4, 10), 20, 101.0)
    assert following(disconnected(drain), Backlog("b1", 10, 20), 102.0) == Send("b1", 4, 10)


def test_an_advance_ends_the_rewinding():
    drain = acked(in_flight(), ack(4), mark=10)
    drain = acked(sent(drain, Send("b1", 4, 10), 20, 101.0), ack(20), mark=10)
    assert following(drain, Backlog("b1", 20, 30), 102.0) == Send("b1", 20, 20)


def test_late_acks_cause_one_sending_at_most_before_time_does():
    drain = in_flight()
    for number in (3, 4, 2):
        before = drain
        drain = acked(drain, ack(number), mark=10)
        if number == 3:
            drain = sent(drain, Send("b1", 3, 10), 20, 101.0)
        else:
            # The gap is already answered; these were merely late.
            assert drain == before


def test_the_ack_of_the_batch_before_is_no_gap():
    assert acked(in_flight(), ack(10), mark=10) == in_flight()


def test_an_ack_for_a_part_keeps_the_batch_in_flight():
    drain = acked(in_flight(), ack(15), mark=10)
    assert drain.flight == Flight("b1", 10, 20, 100.0)
    assert following(drain, Backlog("b1", 15, 20), 101.0) == Wait(100.0 + FIRST_TIMEOUT_SECONDS)


def test_an_ack_of_another_boot_leaves_the_batch_in_flight():
    assert acked(in_flight(), ack(7, "b0"), mark=3).flight == Flight("b1", 10, 20, 100.0)
    assert acked(in_flight(), ack(0, "b0"), mark=3).flight == Flight("b1", 10, 20, 100.0)


def test_a_batch_whose_windows_are_no_longer_waiting_does_not_hold_up_the_next_boot():
    assert following(in_flight(boot="b1"), Backlog("b2", 0, 5), 100.0) == Send("b2", 0, 0)


class Uplinks(RuleBasedStateMachine):
    """An agent with a real spool, a hub that keeps marks, and a network that does what networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = 0.0
        self.boots = 0
        self.made: set[tuple[str, int]] = set()
        self.counted: Counter[tuple[str, int]] = Counter()
        self.marks: dict[str, int] = {}
        self.taken: list[Batch] = []
        self.up: list[Batch] = []
        self.down: list[Ack] = []
        self.sendings = 0

    @initialize()
    def agent_starts_first(self) -> None:
        self.agent_starts()

    @rule()
    def agent_starts(self) -> None:
        """Also what follows SIGKILL: nothing is closed, and all that was in memory is gone."""
        self.boots += 1
        self.boot, self.made_here = f"boot{self.boots}", 0
        self.spool, self.drain = Spool(self.folder, self.boot, 1 << 24), Drain()

    @rule(count=st.integers(1, 4))
    def windows_close(self, count: int) -> None:
        for _ in range(count):
            self.made_here += 1
            assert self.spool.append(a_window())
            self.made.add((self.boot, self.made_here))

    @rule(fits=st.integers(1, 700))
    def agent_turns(self, fits: int) -> None:
        step = following(self.drain, self.spool.backlog(), self.now)
        if isinstance(step, Send):
            windows = self.spool.read(step.boot, step.since, fits)
            self.up.append(Batch("press-1", step.boot, step.after, windows))
            self.drain = sent(self.drain, step, windows[-1].sequence, self.now)
            self.sendings += 1

    @rule(seconds=st.sampled_from([1.0, 11.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def connection_breaks(self) -> None:
        self.drain = disconnected(self.drain)

    @precondition(lambda self: self.up)
    @rule(data=st.data(), again=st.booleans())
    def batch_arrives(self, data: st.DataObject, again: bool) -> None:
        at = data.draw(st.integers(0, len(self.up) - 1))
        self.taken.append(self.up[at] if again else self.up.pop(at))

    @precondition(lambda self: self.up)
    @rule(data=st.data())
    def batch_is_lost(self, data: st.DataObject) -> None:
        self.up.pop(data.draw(st.integers(0, len(self.up) - 1)))

    @rule()
    def hub_commits(self) -> None:
        """What ingest does: windows and marks become durable together, and only then is anything answered."""
        for batch in self.taken:
            mark = self.marks.get(batch.boot, 0)
            if batch.after <= mark:
                fresh = [window.sequence for window in batch.windows if window.sequence > mark]
                self.counted.update((batch.boot, sequence) for sequence in fresh)
                mark = max([mark, *fresh])
                self.marks[batch.boot] = mark
            self.down.append(Ack("press-1", batch.boot, mark))
        self.taken.clear()

    @rule()
    def hub_is_killed(self) -> None:
        self.taken.clear()

    @precondition(lambda self: self.down)
    @rule(data=st.data(), again=st.booleans())
    def ack_arrives(self, data: st.DataObject, again: bool) -> None:
        at = data.draw(st.integers(0, len(self.down) - 1))
        self.agent_hears(self.down[at] if again else self.down.pop(at))

    @precondition(lambda self: self.down)
    @rule(data=st.data())
    def ack_is_lost(self, data: st.DataObject) -> None:
        self.down.pop(data.draw(st.integers(0, len(self.down) - 1)))

    def agent_hears(self, answer: Ack) -> None:
        self.drain = acked(self.drain, answer, self.spool.mark(answer.boot))
        self.spool.forget(answer.boot, answer.through)

    def waiting_boots(self) -> set[str]:
        return {one.boot for one in self.spool._segments if one.waiting(self.spool.mark(one.boot))}

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        assert all(count == 1 for count in self.counted.values())

    @invariant()
    def nothing_is_counted_that_was_not_made(self) -> None:
        assert self.counted.keys() <= self.made

    def teardown(self) -> None:
        """Once the world behaves, all that was made arrives, with one sending a boot."""
        try:
            self.hub_commits()
            self.down.clear()
            self.up.clear()
            self.now += LONGEST_TIMEOUT_SECONDS
            self.sendings = turns = 0
            boots = len(self.waiting_boots())
            while self.spool.backlog() is not None:
                assert turns <= boots, "the agent gets nowhere"
                turns += 1
                self.agent_turns(1 << 20)
                self.taken, self.up = self.up, []
                self.hub_commits()
                for answer in self.down:
                    self.agent_hears(answer)
                self.down.clear()
            assert self.sendings == boots
            assert self.counted.keys() == self.made
        finally:
            shutil.rmtree(self.folder)


Uplinks.TestCase.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEveryWindowIsCountedOnce = Uplinks.TestCase


def test_a_storm_of_late_and_doubled_messages_dies_down():
    """Every message is doubled and comes in any order: what is sent stays in proportion to what there is to say."""
    chance = random.Random(7)
    drain, made, mark, hub = Drain(), 200, 0, 0
    up: list[tuple[int, int]] = []
    down: list[int] = []
    sendings, now = 0, 0.0
    while mark < made:
        now += 0.1
        step = following(drain, Backlog("b1", mark, made), now)
        if isinstance(step, Send):
            through = min(step.since + 10, made)
            drain = sent(drain, step, through, now)
            up += [(step.after, through)] * 2
            sendings += 1
        if up and chance.random() < 0.7:
            after, through = up.pop(chance.randrange(len(up)))
            hub = max(hub, through) if after <= hub else hub
            down += [hub] * 2
        if down and chance.random() < 0.7:
            through = down.pop(chance.randrange(len(down)))
            drain = acked(drain, ack(through), mark)
            mark = max(mark, through)
    assert sendings <= 3 * made / 10
