"""A challenger sees what the live model answered, is compared with it, and is in nobody's way."""

import os
import threading
import time

import pytest

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving import shadow as shadow_module
from edge_agent.serving.gaps import GAPS
from edge_agent.serving.port import Answered
from edge_agent.serving.spare import SpareCycles
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import FakeSession, Gate, Served, serving
from tests.fakes.waiting import until

SHADOW = "digits@shadow"
give_way = shadow_module._give_way


trickle_share = shadow_module.TRICKLE_SHARE


@pytest.fixture(autouse=True)
def impolite(monkeypatch) -> None:
    """Whoever gives way to all others, or waits for gaps, may have to wait for long where many tests run at once."""
    monkeypatch.setattr(shadow_module, "_give_way", lambda: None)
    monkeypatch.setattr(shadow_module, "TRICKLE_SHARE", 1.0)


def settled(world: Served, *, gap_seconds: float = 0.0, run_seconds: float = 0.0) -> None:
    """As if a hundred calls had come, each so long after the answer before, and a run took so long."""
    gaps = world.engine._shadow._gaps
    for number in range(GAPS + 1):
        gaps.answered(time.monotonic() + (number - GAPS) * gap_seconds, 0.0)
    gaps.ran(run_seconds)


def shadow_windows(world: Served):
    return [one for one in world.windows() if one.slot == "shadow"]


def test_agreement_with_the_live_model_goes_into_windows_of_the_shadows_own():
    with serving() as world:
        world.runs(FakeSession(None), a_manifest(1))
        challenger = FakeSession(1)
        world.runs(challenger, a_manifest(2), key=SHADOW)
        for count, label in enumerate((1, 1, 2, 0, 1), 1):
            world.ask(label, rows=2).wait()
            until(lambda count=count: world.slot(SHADOW).health().count == 2 * count)
    live, shadow = sorted(world.windows(), key=lambda one: one.slot)
    assert (live.slot, live.version, live.count, live.compared) == ("default", 1, 10, 0)
    assert (shadow.slot, shadow.version, shadow.count) == ("shadow", 2, 10)
    assert (shadow.compared, shadow.agreed) == (10, 6)
    assert shadow.predictions == {"1": 10}
    assert shadow.latency.keys() != {0}


def test_a_shadow_is_judged_by_the_true_labels_too():
    with serving() as world:
        world.runs(FakeSession(1), a_manifest(1))
        world.runs(FakeSession(2), a_manifest(2), key=SHADOW)
        world.ask(rows=2, truth=("1", "2")).wait()
        until(lambda: world.slot(SHADOW).health().count == 2)
    live, shadow = sorted(world.windows(), key=lambda one: one.slot)
    assert (live.labelled, live.correct) == (shadow.labelled, shadow.correct) == (2, 1)


def test_a_shadow_never_answers():
    with serving() as world:
        world.runs(FakeSession(1), a_manifest(1))
        world.runs(FakeSession(2), a_manifest(2), key=SHADOW)
        for _ in range(5):
            (answer,) = world.ask().wait()
            assert isinstance(answer, Answered)
            assert answer.manifest.version == 1
        assert world.engine.models() == ("digits",)
        world.slot("digits").switch(None)
        (refused,) = world.ask().wait()
        assert refused.code == "model-unready"


def test_an_answer_does_not_wait_for_a_shadow_that_hangs_and_what_waits_for_it_is_bounded():
    gate = Gate()
    with serving() as world:
        world.runs(FakeSession(1))
        world.runs(FakeSession(1, gate), a_manifest(2), key=SHADOW)
        world.ask().wait()
        until(lambda: gate.inside == 1)
        began = time.monotonic()
        for _ in range(200):
            assert isinstance(world.ask().wait()[0], Answered)
        assert time.monotonic() - began < 60
        gate.open()
        until(lambda: world.slot(SHADOW).health().count == 1 + shadow_module.MOST_CALLS)
    (shadow,) = shadow_windows(world)
    assert shadow.compared == shadow.count == 1 + shadow_module.MOST_CALLS


def test_large_inputs_that_wait_for_a_shadow_are_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(shadow_module, "MOST_BYTES", 100)
    gate = Gate()
    with serving() as world:
        world.runs(FakeSession(1))
        world.runs(FakeSession(1, gate), a_manifest(2), key=SHADOW)
        world.ask(rows=2).wait()
        until(lambda: gate.inside == 1)
        for _ in range(5):
            world.ask(rows=4).wait()
        gate.open()
        until(lambda: world.slot(SHADOW).health().count == 6)
        time.sleep(0.05)
        assert world.slot(SHADOW).health().count == 6


def test_it_starts_only_while_a_core_is_free_and_nothing_waits(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    gate, challenger = Gate(), FakeSession(1)
    with serving("digits", "faces", workers=2) as world:
        world.runs(FakeSession(2), a_manifest(1, model="faces"), key="faces")
        until(lambda: world.ask(model="faces").threads == [threading.current_thread().name])
        world.runs(challenger, a_manifest(2, model="faces"), key="faces@shadow")
        world.runs(FakeSession(1, gate))
        busy = [world.ask(), world.ask()]
        until(lambda: gate.inside == 2)
        world.ask(model="faces").wait()
        time.sleep(0.1)
        assert challenger.batches == [], "both cores are at work"
        gate.open()
        for one in busy:
            one.wait()
        until(lambda: challenger.batches)


def test_what_has_waited_too_long_for_a_gap_is_dropped(monkeypatch):
    monkeypatch.setattr(shadow_module, "PATIENCE_SECONDS", 0.02)
    with serving() as world:
        free = threading.Event()
        monkeypatch.setattr(world.engine._shadow, "_at_work", lambda: 0 if free.is_set() else 99)
        world.runs(FakeSession(1))
        challenger = FakeSession(1)
        world.runs(challenger, a_manifest(2), key=SHADOW)
        world.ask().wait()
        until(lambda: world.engine._shadow._thread and not world.engine._shadow._offers)
        free.set()
        time.sleep(0.05)
        assert challenger.batches == []
        world.ask().wait()
        until(lambda: challenger.batches)


def test_a_challenger_that_fails_or_takes_something_else_is_counted_against_it_and_not_the_live_model():
    def fail() -> None:
        raise InferenceFailed("No.")

    def break_down() -> None:
        raise ZeroDivisionError

    with serving() as world:
        world.runs(FakeSession(1), a_manifest(1))
        for session, manifest in (
            (FakeSession(1, fail), a_manifest(2)),
            (FakeSession(1, break_down), a_manifest(3)),
            (FakeSession(1), a_manifest(4, inputs=(Tensor("image", "FP32", (-1, 9)),))),
        ):
            world.runs(session, manifest, key=SHADOW)
            world.ask().wait()
            until(lambda: world.slot(SHADOW).health().errors == 1)
        assert world.slot("digits").health().errors == 0
    found = [(one.version, one.error_codes) for one in shadow_windows(world)]
    assert found == [(2, {"inference-failed": 1}), (3, {"inference-broken": 1}), (4, {"inputs-differ": 1})]


def test_its_thread_gives_way_to_all_others(monkeypatch):
    monkeypatch.setattr(shadow_module, "_give_way", give_way)
    niceness: list[int] = []
    with serving() as world:
        world.runs(FakeSession(1))
        notice = FakeSession(1, lambda: niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
        world.runs(notice, a_manifest(2), key=SHADOW)
        world.ask().wait()
        until(lambda: niceness)
    assert niceness == [shadow_module.NICENESS]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < shadow_module.NICENESS


def test_a_shadow_that_is_gone_leaves_no_work_behind():
    with serving() as world:
        world.runs(FakeSession(1))
        world.ask().wait()
        assert world.engine._shadow._thread is None, "no thread without a shadow"
        world.runs(FakeSession(1), a_manifest(2), key=SHADOW)

        def ran() -> bool:
            # What is asked while the device is busy is not kept for it.
            world.ask().wait()
            return world.slot(SHADOW).health().count > 0

        until(ran)
        world.slot(SHADOW).switch(None)
        world.ask().wait()
        until(lambda: not world.engine._shadow._offers)


def test_it_runs_after_each_call_where_it_ends_before_the_next(monkeypatch):
    monkeypatch.setattr(shadow_module, "TRICKLE_SHARE", 0.0)
    with serving() as world:
        world.runs(FakeSession(1))
        challenger = FakeSession(1)
        world.runs(challenger, a_manifest(2), key=SHADOW)
        settled(world, gap_seconds=60.0, run_seconds=1.0)
        for count in range(1, 4):
            world.ask().wait()
            until(lambda count=count: len(challenger.batches) == count)


def test_while_a_call_is_at_work_there_is_no_gap(monkeypatch):
    monkeypatch.setattr(shadow_module, "TRICKLE_SHARE", 0.0)
    gate, challenger = Gate(), FakeSession(1)
    with serving("digits", "faces") as world:
        world.runs(FakeSession(1, gate), a_manifest(1, model="faces"), key="faces")
        world.runs(FakeSession(1))
        world.runs(challenger, a_manifest(2), key=SHADOW)
        settled(world, gap_seconds=60.0, run_seconds=0.05)
        held = world.ask(model="faces")
        until(lambda: gate.inside)
        world.ask().wait()
        time.sleep(0.1)
        assert challenger.batches == []
        gate.open()
        held.wait()
        until(lambda: challenger.batches)


def test_a_gap_between_calls_is_not_enough_while_others_need_the_device(monkeypatch):
    monkeypatch.setattr(shadow_module, "TRICKLE_SHARE", 0.0)
    with serving(spare=lambda: False) as world:
        world.runs(FakeSession(1))
        challenger = FakeSession(1)
        world.runs(challenger, a_manifest(2), key=SHADOW)
        settled(world, gap_seconds=60.0, run_seconds=1.0)
        world.ask().wait()
        time.sleep(0.1)
        assert challenger.batches == []


@pytest.mark.parametrize("spare", [True, False])
def test_without_gaps_or_cycles_to_spare_it_still_says_a_little(monkeypatch, spare):
    monkeypatch.setattr(shadow_module, "TRICKLE_SHARE", trickle_share)
    with serving(spare=lambda: spare) as world:
        world.runs(FakeSession(1))
        challenger = FakeSession(1, lambda: time.sleep(0.2))
        world.runs(challenger, a_manifest(2), key=SHADOW)
        for _ in range(2):
            # So long that no moment in which a busy machine stalls is a gap for it; the longest but one counts.
            settled(world, gap_seconds=0.001, run_seconds=30.0)
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            world.ask().wait()
        assert len(challenger.batches) == 1, "2.5 ms are saved up, and 0.5 ms a second comes to it"


def test_whoever_answers_does_not_wait_while_it_looks_whether_there_is_room():
    gate = Gate()

    def spare() -> bool:
        gate()
        return True

    with serving(spare=spare) as world:
        world.runs(FakeSession(1))
        world.runs(FakeSession(1), a_manifest(2), key=SHADOW)
        world.ask().wait()
        until(lambda: gate.inside)
        offered = threading.Thread(target=lambda: [world.ask().wait() for _ in range(2)])
        offered.start()
        until(lambda: len(world.engine._shadow._offers) == 3)
        gate.open()
        offered.join()


def test_a_device_that_has_no_room_for_a_run_is_not_asked_for_it_all_the_time(monkeypatch):
    monkeypatch.setattr(shadow_module, "TRICKLE_SHARE", 0.0)
    looks = 0

    def spare() -> bool:
        nonlocal looks
        looks += 1
        return False

    with serving(spare=spare) as world:
        world.runs(FakeSession(1))
        world.runs(FakeSession(1), a_manifest(2), key=SHADOW)
        # As many as may wait: each that comes has it look once.
        for _ in range(shadow_module.MOST_CALLS):
            world.ask().wait()
        time.sleep(0.5)
        assert 2 <= looks <= 2 * shadow_module.MOST_CALLS + 10, "ever more rarely, and not each millisecond"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["cpu 100 0 0 100 0 0 0 0 0 0", "cpu 110 0 0 110 0 0 0 0 0 0"], True),
        (["cpu 100 0 0 100 0 0 0 0 0 0", "cpu 117 0 0 100 3 0 0 0 0 0"], True),
        (["cpu 100 0 0 100 0 0 0 0 0 0", "cpu 119 0 0 101 0 0 0 0 0 0"], False),
        (["cpu 100 0 0 100 0 0 0 0 0 0", "cpu 100 0 0 100 0 0 0 0 0 0"], False),
        (["cpu 100 0 0", "cpu 119 0 0 101 0 0 0 0 0 0"], True),
        (["", ""], True),
        ([], True),
    ],
)
def test_the_kernel_says_whether_there_are_cycles_to_spare(tmp_path, lines, expected):
    times, stat = iter([0.0, 0.01, 0.2]), tmp_path / "stat"
    for number, line in enumerate(lines):
        stat.write_text(f"{line}\ncpu0 1 2 3\n")
        if number == 0:
            spare = SpareCycles(stat, lambda: next(times), cores=2)
    if not lines:
        spare = SpareCycles(stat, lambda: next(times), cores=2)
    assert not spare(), "too early to tell"
    assert spare() == expected
