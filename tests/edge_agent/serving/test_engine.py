"""The engine answers each call once, from one whole version, whatever fails, is switched or ends meanwhile."""

import threading
import time
import weakref

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving.port import Answered, Call, InputWrong, ModelUnknown, ModelUnready
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import Answers, FakeSession, Gate, an_image, raising, serving
from tests.fakes.waiting import until


def test_a_call_is_answered_with_the_outputs_and_the_manifest_that_computed_them():
    with serving() as world:
        world.runs(FakeSession(2), a_manifest(7))
        (answer,) = world.ask().wait()
        assert isinstance(answer, Answered)
        assert answer.manifest.version == 7
        assert answer.outputs["scores"].argmax() == 2


def test_a_client_that_rests_keeps_nothing_of_a_call_that_a_worker_has_answered():
    with serving() as world:
        world.runs(FakeSession(1))
        image = an_image()
        kept, answers = weakref.ref(image["image"]), Answers()
        ticket = world.engine.submit(Call("digits", image), answers)
        assert ticket is not None
        answers.wait()
        world.tally.flush()
        del image
        until(lambda: kept() is None)


def test_a_model_that_fails_is_counted_and_the_next_call_is_answered():
    with serving() as world:
        broken = FakeSession(1, raising(InferenceFailed("No.")))
        world.runs(broken)
        (failure,) = world.ask(rows=2).wait()
        assert isinstance(failure, InferenceFailed)
        broken.instead = raising(ZeroDivisionError())
        (failure,) = world.ask().wait()
        assert failure.code == "inference-broken"
        broken.instead = lambda: None
        assert isinstance(world.ask().wait()[0], Answered)
    assert world.slot("digits").health().errors == 3
    (window,) = world.windows()
    assert (window.count, window.errors) == (1, 3)
    assert window.error_codes == {"inference-failed": 2, "inference-broken": 1}


def test_a_caller_that_breaks_does_not_take_a_worker_along():
    with serving(workers=1) as world:
        world.runs(FakeSession(1, lambda: time.sleep(0.001)))
        world.engine.submit(Call("digits", an_image()), raising(ZeroDivisionError))
        assert isinstance(world.ask().wait()[0], Answered)


def test_an_answer_that_cannot_be_counted_is_told_once(monkeypatch):
    with serving() as world:
        session = FakeSession(1)
        world.runs(session)

        def fail(*_):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(world.tally, "answered", fail)
        asked = [world.ask()]
        asked[0].wait()
        assert session.threads == ["worker-0"]

        def run_here() -> bool:
            asked.append(world.ask())
            return bool(asked[-1].wait()) and session.threads[-1] == threading.current_thread().name

        until(run_here)
    assert [[type(one) for one in answers.given] for answers in asked] == [[Answered]] * len(asked)


def test_what_waits_while_the_model_is_switched_is_answered_by_the_new_one_or_told_that_it_does_not_fit():
    gate = Gate()
    with serving(workers=1) as world:
        world.runs(FakeSession(1, gate), a_manifest(1))
        first = world.ask()
        until(lambda: gate.inside == 1)
        second, pinned = world.ask(), world.ask(version="1")
        world.runs(FakeSession(2), a_manifest(2))
        gate.open()
        assert first.wait()[0].manifest.version == 1
        assert second.wait()[0].manifest.version == 2
        assert isinstance(pinned.wait()[0], ModelUnknown)
        gate2 = Gate()
        world.runs(FakeSession(1, gate2), a_manifest(3))
        busy = world.ask()
        until(lambda: gate2.inside == 1)
        late = world.ask()
        world.runs(FakeSession(1), a_manifest(4, inputs=(Tensor("image", "FP32", (-1, 9)),)))
        gate2.open()
        busy.wait()
        assert isinstance(late.wait()[0], InputWrong)


def test_swaps_under_load_fail_no_call_and_no_answer_is_of_another_version_than_it_says():
    stop, wrong = threading.Event(), []
    answered: set[int] = set()

    def ask(world) -> None:
        while not stop.is_set():
            (result,) = world.ask().wait()
            if not isinstance(result, Answered) or result.outputs["scores"].argmax() != result.manifest.version % 3:
                wrong.append(result)
            else:
                answered.add(result.manifest.version)

    with serving() as world:
        sessions = [FakeSession(version % 3, lambda: time.sleep(0.0005)) for version in range(1, 21)]
        threads = [threading.Thread(target=ask, args=(world,)) for _ in range(8)]
        for version, session in enumerate(sessions, 1):
            world.runs(session, a_manifest(version))
            if version == 1:
                for thread in threads:
                    thread.start()
            until(lambda version=version: version in answered)
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not wrong
    assert answered == set(range(1, 21))
    assert [session.closed for session in sessions[:-1]] == [1] * 19
    windows = world.windows()
    assert {window.version for window in windows} == answered
    assert all(window.predictions == {str(window.version % 3): window.count} for window in windows)


def test_an_engine_that_stops_tells_those_who_wait():
    gate = Gate()
    with serving(workers=1) as world:
        world.runs(FakeSession(1, gate))
        running = world.ask()
        until(lambda: gate.inside == 1)
        waiting = world.ask()
        closing = threading.Thread(target=world.engine.close)
        closing.start()
        assert isinstance(waiting.wait()[0], ModelUnready)
        gate.open()
        closing.join(60)
        assert isinstance(running.wait()[0], Answered)
        assert isinstance(world.ask().wait()[0], ModelUnready)
        assert not world.engine.ready("digits")


def test_an_engine_stops_within_a_second_whatever_hangs():
    gate = Gate()
    with serving("digits", "noise") as world:
        quick = FakeSession(1)
        world.runs(quick)
        until(lambda: world.ask().wait() and quick.threads[-1] == threading.current_thread().name)
        world.runs(FakeSession(1, gate), a_manifest(model="noise"), "noise")
        quick.instead = gate
        asking = threading.Thread(target=world.ask)
        asking.start()
        world.ask(model="noise")
        until(lambda: gate.inside == 2)
        began = time.monotonic()
        world.engine.close()
        # It waits for a second; a machine that does other things may take some more.
        assert time.monotonic() - began < 5
        gate.open()
        asking.join(60)
