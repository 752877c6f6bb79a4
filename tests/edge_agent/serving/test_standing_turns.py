"""A standing call of a slower model waits for its turn at a worker, and holds nothing meanwhile."""

import threading
import time

from edge_agent.core.batching import Bounds
from edge_agent.serving.port import Call
from tests.edge_agent.serving.standing_calls import IMAGE, Turns, slow, standing
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import FakeSession, Gate, an_image, serving
from tests.fakes.waiting import until


def test_one_that_waits_is_run_by_a_worker_in_its_turn_and_counted_with_the_time_it_waited():
    gate = Gate()
    with serving(workers=1) as world:
        session = FakeSession(instead=gate)
        call = slow(world, session)
        other = world.engine.standing(Call("digits", an_image()), IMAGE)
        assert call.waits(patient=False)
        turns, others = Turns(call), Turns(other)
        turns.begin(1)
        until(lambda: gate.inside == 1)
        answers = world.ask(2)
        others.begin(0)
        time.sleep(0.05)
        gate.open()
        until(lambda: others.given)
        assert (turns.given, answers.labels, others.given) == ([1], [2], [0])
        assert session.batches == [1, 1, 1]
        assert set(session.threads) == {"worker-0"}
        counted = world.engine.statistics("digits")[1]
        assert counted.success_count == 3
        assert counted.queue_ns > 2 * 0.05e9
        (window,) = world.windows()
        assert window.predictions == {"0": 1, "1": 1, "2": 1}
        until(lambda: world.slot("digits").leases == 0)
        assert world.engine.held_bytes == 0


def test_what_waits_holds_nothing_and_what_is_run_what_it_has_read():
    gate = Gate()
    with serving(workers=1) as world:
        call = slow(world, FakeSession(instead=gate))
        other = world.engine.standing(Call("digits", an_image()), IMAGE)
        Turns(call).begin(1)
        Turns(other).begin(1)
        until(lambda: gate.inside == 1)
        assert world.engine.held_bytes == 16
        gate.open()
        until(lambda: world.engine.held_bytes == 0)


def test_one_that_is_called_off_has_no_turn():
    gate = Gate()
    with serving(workers=1) as world:
        call = slow(world, FakeSession(instead=gate))
        first, second = Turns(call), Turns(world.engine.standing(Call("digits", an_image()), IMAGE))
        first.begin(1)
        until(lambda: gate.inside == 1)
        second.begin(1).cancel()
        third = world.ask(2)
        gate.open()
        third.wait()
        assert second.called == []


def test_no_more_wait_than_may_and_when_the_engine_ends_they_are_told():
    gate = Gate()
    with serving(workers=1, queue=1) as world:
        call = slow(world, FakeSession(instead=gate))
        others = [Turns(world.engine.standing(Call("digits", an_image()), IMAGE)) for _ in range(2)]
        Turns(call).begin(1)
        until(lambda: gate.inside == 1)
        assert others[0].begin(1) is not None
        assert others[1].begin(1) is None
        closing = threading.Thread(target=world.engine.close)
        closing.start()
        until(lambda: others[0].called)
        gate.open()
        closing.join()
        assert others[0].called == [False]
        assert others[1].called == []
        assert others[0].begin(1) is None


def test_at_its_turn_another_version_is_not_asked():
    gate = Gate()
    with serving(workers=1) as world:
        call = slow(world, FakeSession(instead=gate))
        turns = Turns(world.engine.standing(Call("digits", an_image()), IMAGE))
        Turns(call).begin(1)
        until(lambda: gate.inside == 1)
        turns.begin(1)
        other = FakeSession(2)
        world.runs(other, a_manifest(2))
        gate.open()
        until(lambda: turns.given)
        assert turns.given == [None]
        assert other.batches == []
        assert not turns.call.waits(patient=False)


def test_none_waits_for_a_model_that_is_quick_or_slow_is_parked_or_has_calls_go_together():
    with serving() as world:
        world.runs(FakeSession())
        assert not standing(world).waits(patient=False)
    with serving(batching={"digits": Bounds(8, 0.001)}) as world:
        assert not slow(world, FakeSession()).waits(patient=False)
    with serving() as world:
        call = slow(world, FakeSession(), reopen=FakeSession)
        assert world.slot("digits").park()
        assert not call.waits(patient=False)
    with serving() as world:
        call = slow(world, FakeSession())
        assert call.waits(patient=False)
        world.engine._find("digits").took(world.slot("digits").manifest, 30_000_000)
        assert not call.waits(patient=False)
