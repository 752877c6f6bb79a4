"""Each window is counted once in the end, whatever is lost, late, doubled, refused or killed on its way."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.core.drain import (
    LONGEST_TIMEOUT_SECONDS,
    Drain,
    Send,
    acked,
    connected,
    disconnected,
    following,
    heard,
    sent,
    turned_down,
)
from edge_agent.telemetry.spool import Spool
from fleet_contract.because import Because
from fleet_contract.telemetry import Ack, Batch, Lane, encode_batch, fingerprint
from tests.fakes.windows import a_window


class Uplinks(RuleBasedStateMachine):
    """An agent with a real spool, a hub that keeps marks, has no room at times and refuses some windows for good, and
    a network that does what networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = 0.0
        self.boots = 0
        self.made: set[tuple[str, int]] = set()
        self.bad: set[tuple[str, int]] = set()
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
        """Also what follows SIGKILL: all that was in memory is gone, and files are closed, no more."""
        if self.boots:
            self.spool.close()
        self.boots += 1
        self.boot, self.made_here = f"boot{self.boots}", 0
        self.spool, self.drain = Spool(self.folder, "default.press-1", self.boot, 1 << 24), Drain()

    @rule(good=st.lists(st.sampled_from([True, True, True, False]), min_size=1, max_size=4))
    def windows_close(self, good: list[bool]) -> None:
        for one in good:
            self.made_here += 1
            assert self.spool.append(a_window(version=1 if one else 0))
            (self.made if one else self.bad).add((self.boot, self.made_here))

    @rule(fits=st.integers(1, 700))
    def agent_turns(self, fits: int) -> None:
        step = following(self.drain, self.spool.backlog(), self.now)
        if isinstance(step, Send):
            windows = self.spool.read(step.boot, step.since, fits, step.records)
            batch = Batch("press-1", step.boot, step.after, windows)
            self.up.append(batch)
            name = fingerprint(encode_batch(batch))
            self.drain = sent(self.drain, step, windows[-1].sequence, self.now, len(windows), name)
            self.sendings += 1

    @rule(seconds=st.sampled_from([1.0, 11.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def hub_speaks_of_something_else(self) -> None:
        self.drain = heard(self.drain, self.now)

    @rule()
    def connection_breaks(self) -> None:
        self.drain = connected(disconnected(self.drain), self.spool.waiting(), self.now)

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
            if any(window.version == 0 for window in batch.windows):
                because = Because("telemetry-wrong", "It has version 0.")
                name = fingerprint(encode_batch(batch))
                self.down.append(Ack("press-1", "", 0, batch=name, refused=because))
                continue
            mark = self.marks.get(batch.boot, 0)
            if batch.after <= mark:
                fresh = [window.sequence for window in batch.windows if window.sequence > mark]
                self.counted.update((batch.boot, sequence) for sequence in fresh)
                mark = max([mark, *fresh])
                self.marks[batch.boot] = mark
            self.down.append(Ack("press-1", batch.boot, mark))
        self.taken.clear()

    @rule()
    def hub_has_no_room(self) -> None:
        names = [fingerprint(encode_batch(batch)) for batch in self.taken]
        self.down += [Ack("press-1", "", 0, batch=name, wait_seconds=5) for name in names]
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
        if answer.batch:
            self.drain, given_up = turned_down(self.drain, answer, self.now)
            if given_up is not None:
                assert self.spool.give_up(given_up.boot, given_up.through, "refused") == 1
            return
        self.drain = acked(self.drain, answer, self.spool.mark(answer.boot))
        self.spool.forget(answer.boot, answer.through)

    def waiting_boots(self) -> set[str]:
        segments = self.spool._queues[Lane.WINDOWS]._segments
        return {one.boot for one in segments if one.waiting(self.spool.mark(one.boot))}

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        assert all(count == 1 for count in self.counted.values())

    @invariant()
    def nothing_is_counted_that_was_not_made(self) -> None:
        assert self.counted.keys() <= self.made

    @invariant()
    def only_what_is_refused_is_given_up(self) -> None:
        assert self.spool.report().lanes["windows"].dropped.get("refused", 0) <= len(self.bad)

    def teardown(self) -> None:
        """Once the world behaves, all that is good arrives: with one sending a boot, and a few for each bad one."""
        try:
            self.hub_commits()
            self.down.clear()
            self.up.clear()
            # Nothing that happened may make the first batch small, or late.
            self.drain = Drain(below=self.drain.below, most_records=1000)
            self.sendings = 0
            boots, bad = len(self.waiting_boots()), len(self.bad)
            while self.spool.backlog() is not None:
                assert self.sendings <= boots + 20 * bad, "the agent gets nowhere"
                self.now += 2 * LONGEST_TIMEOUT_SECONDS
                self.agent_turns(1 << 20)
                self.taken, self.up = self.up, []
                self.hub_commits()
                for answer in self.down:
                    self.agent_hears(answer)
                self.down.clear()
            assert self.sendings == boots or bad
            assert self.counted.keys() == self.made
            assert self.spool.report().lanes["windows"].dropped.get("refused", 0) == bad
        finally:
            self.spool.close()
            shutil.rmtree(self.folder)


Uplinks.TestCase.settings = settings(max_examples=60, stateful_step_count=50, suppress_health_check=list(HealthCheck))
TestEveryWindowIsCountedOnce = Uplinks.TestCase
