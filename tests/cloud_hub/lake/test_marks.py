"""Every window is taken once, whatever is lost, repeated, reordered or killed, and wherever that happens."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloud_hub.lake.marks import Boot, Gap, Repeat, Take, decide, plan
from fleet_contract.telemetry import Ack, Batch, Window

BOOT = Boot("gateway-1", "b0")


def window(sequence: int) -> Window:
    return Window(sequence, "digits", 1, "sha256:" + "0" * 64, 0, 1, 1, 0, {1: 1}, {"7": 1}, (1,))


def batch(after: int, *sequences: int, device: str = "gateway-1", boot: str = "b0") -> Batch:
    return Batch(device, boot, after, tuple(window(one) for one in sequences))


class TestDecide:
    def test_takes_what_follows_the_mark(self) -> None:
        assert decide(3, batch(3, 4, 5)) == Take((window(4), window(5)))

    def test_takes_the_new_end_of_a_batch_that_it_has_the_start_of(self) -> None:
        assert decide(4, batch(3, 4, 5)) == Take((window(5),))

    def test_takes_over_a_hole_that_the_sender_says_is_none(self) -> None:
        assert decide(3, batch(3, 9)) == Take((window(9),))

    def test_recognises_a_repeat(self) -> None:
        assert decide(5, batch(3, 4, 5)) == Repeat()

    def test_recognises_a_repeat_of_older_windows(self) -> None:
        assert decide(9, batch(0, 4, 5)) == Repeat()

    def test_an_empty_batch_asks_for_the_mark(self) -> None:
        assert decide(5, batch(5)) == Repeat()

    def test_refuses_what_follows_something_that_never_came(self) -> None:
        assert decide(3, batch(4, 5)) == Gap()

    def test_refuses_it_of_a_boot_that_it_knows_nothing_of(self) -> None:
        assert decide(0, batch(1, 2)) == Gap()


class TestPlan:
    def test_batches_of_one_round_follow_each_other(self) -> None:
        done = plan({BOOT: 2}, [batch(2, 3), batch(3, 4), batch(3, 4)])
        assert [one.sequence for _, one in done.rows] == [3, 4]
        assert (done.marks, done.answers, done.repeats, done.gaps) == ({BOOT: 4}, {BOOT: 4}, 1, 0)

    def test_a_gap_is_answered_with_the_mark_and_moves_nothing(self) -> None:
        done = plan({BOOT: 2}, [batch(5, 6)])
        assert (done.rows, done.marks, done.answers, done.gaps) == ((), {}, {BOOT: 2}, 1)

    def test_devices_and_boots_do_not_mix(self) -> None:
        other, later = Boot("gateway-2", "b0"), Boot("gateway-1", "b1")
        done = plan({BOOT: 7}, [batch(0, 1, device="gateway-2"), batch(0, 1, boot="b1"), batch(6, 7)])
        assert done.marks == {other: 1, later: 1}
        assert done.answers == {other: 1, later: 1, BOOT: 7}

    @given(st.lists(st.tuples(st.integers(0, 12), st.lists(st.integers(1, 6), max_size=4)), max_size=12))
    def test_marks_rise_and_name_the_last_row_of_their_boot(self, sent: list[tuple[int, list[int]]]) -> None:
        batches = [batch(after, *(after + sum(steps[: at + 1]) for at in range(len(steps)))) for after, steps in sent]
        done = plan({BOOT: 4}, batches)
        sequences = [one.sequence for _, one in done.rows]
        assert sequences == sorted(set(sequences))
        assert all(one > 4 for one in sequences)
        assert done.marks == ({BOOT: sequences[-1]} if sequences else {})


def test_an_app_id_names_its_boot() -> None:
    assert Boot.of_app_id(BOOT.app_id) == BOOT


def test_an_app_id_of_another_application_names_none() -> None:
    assert Boot.of_app_id("a-spark-job") is None


@dataclass
class Sender:
    """A device as the contract has it: keeps windows until they are acked, may drop the oldest."""

    made: int = 0
    spool: list[int] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)
    acked: int = 0
    cursor: int = 0

    def next_batch(self, size: int) -> Batch | None:
        waiting = [one for one in self.spool if one > self.cursor][:size]
        if not waiting:
            return None
        after = max(self.cursor, self.acked)
        self.cursor = waiting[-1]
        return batch(after, *waiting)

    def hear(self, ack: Ack) -> None:
        self.spool = [one for one in self.spool if one > ack.through]
        self.acked = max(self.acked, ack.through)
        self.cursor = max(min(self.cursor, ack.through), self.acked)


class KilledAnywhere(RuleBasedStateMachine):
    """A device, a network that does its worst, and a hub that is killed between any two of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.sender = Sender()
        self.up: list[Batch] = []
        self.down: list[Ack] = []
        self.lake: list[int] = []
        self.lake_mark = 0
        self.sql: set[int] = set()
        self.cache: int | None = None

    @rule(count=st.integers(1, 5))
    def the_device_makes_windows(self, count: int) -> None:
        for _ in range(count):
            self.sender.made += 1
            self.sender.spool.append(self.sender.made)

    @precondition(lambda self: self.sender.spool)
    @rule()
    def the_device_drops_its_oldest_for_want_of_room(self) -> None:
        self.sender.dropped.add(self.sender.spool.pop(0))

    @rule(size=st.integers(1, 4))
    def the_device_sends(self, size: int) -> None:
        if (sent := self.sender.next_batch(size)) is not None:
            self.up.append(sent)

    @rule()
    def the_device_hears_nothing_and_starts_again(self) -> None:
        self.sender.cursor = self.sender.acked

    @precondition(lambda self: self.up)
    @rule(data=st.data())
    def the_network_loses_repeats_or_delays(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.up) - 1))
        match data.draw(st.sampled_from(["lose", "repeat", "delay"])):
            case "lose":
                self.up.pop(at)
            case "repeat":
                self.up.append(self.up[at])
            case _:
                self.up.append(self.up.pop(at))

    @precondition(lambda self: self.up)
    @rule(data=st.data())
    def the_hub_takes_a_round(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, len(self.up)))
        taken, self.up = self.up[:size], self.up[size:]
        dies = data.draw(st.sampled_from([None, "before sql", "before lake", "before cache", "before ack"]))
        known = self.lake_mark if self.cache is None else self.cache
        done = plan({BOOT: known}, taken)
        if dies == "before sql":
            return self._killed()
        self.sql |= {one.sequence for _, one in done.rows}
        if dies == "before lake":
            return self._killed()
        if done.rows:
            self.lake += [one.sequence for _, one in done.rows]
            self.lake_mark = done.marks[BOOT]
        if dies == "before cache":
            return self._killed()
        self.cache = self.lake_mark
        if dies == "before ack":
            return self._killed()
        self.down += [Ack(*boot, mark) for boot, mark in done.answers.items()]
        return None

    @precondition(lambda self: self.down)
    @rule(data=st.data(), arrives=st.booleans())
    def an_answer_arrives_or_is_lost(self, data: st.DataObject, arrives: bool) -> None:
        ack = self.down.pop(data.draw(st.integers(0, len(self.down) - 1)))
        if arrives:
            self.sender.hear(ack)

    def _killed(self) -> None:
        self.cache = None

    @invariant()
    def nothing_is_in_the_lake_twice(self) -> None:
        assert len(self.lake) == len(set(self.lake))

    @invariant()
    def nothing_is_forgotten_that_is_not_in_the_lake(self) -> None:
        gone = set(range(1, self.sender.made + 1)) - set(self.sender.spool)
        assert gone <= set(self.lake) | self.sender.dropped

    @invariant()
    def what_gates_see_is_never_less_than_the_lake(self) -> None:
        assert set(self.lake) <= self.sql

    def teardown(self) -> None:
        """When everything works again, everything arrives."""
        self.up, self.down, self.cache = [], [], None
        self.sender.cursor = self.sender.acked
        for _ in range(2 * self.sender.made + 2):
            if (sent := self.sender.next_batch(3)) is None:
                break
            done = plan({BOOT: self.lake_mark}, [sent])
            self.lake += [one.sequence for _, one in done.rows]
            self.lake_mark = done.marks.get(BOOT, self.lake_mark)
            self.sender.hear(Ack(*BOOT, done.answers[BOOT]))
        assert self.sender.spool == []
        assert len(self.lake) == len(set(self.lake))
        assert set(self.lake) | self.sender.dropped == set(range(1, self.sender.made + 1))


TestKilledAnywhere = KilledAnywhere.TestCase
TestKilledAnywhere.settings = settings(max_examples=100, stateful_step_count=40)
