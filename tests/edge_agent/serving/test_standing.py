"""A standing call is answered as if it had been submitted, or not at all."""

import threading
import time
import weakref

import numpy as np

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving import shadow
from edge_agent.serving.gaps import GAPS
from edge_agent.serving.port import Answered, Call, ModelUnknown, ModelUnready
from tests.edge_agent.serving.standing_calls import IMAGE, an_image_sent, standing
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import FakeSession, Gate, an_image, serving
from tests.fakes.waiting import until


def test_it_is_answered_here_and_counted_as_any_other():
    with serving() as world:
        world.runs(FakeSession(), a_manifest(3))
        call = standing(world)
        before = world.engine.statistics("digits")[3]
        world.windows()
        for label in (0, 1, 2, 2):
            answer = call.run(an_image_sent(label), patient=False)
            call.sent()
            assert isinstance(answer, Answered)
            assert answer.manifest.version == 3
            assert answer.outputs["scores"].argmax() == label
        after = world.engine.statistics("digits")[3]
        assert after.inference_count - before.inference_count == 4
        assert after.success_count - before.success_count == 4
        assert after.compute_infer_ns > before.compute_infer_ns
        (window,) = world.windows()
        assert window.predictions == {"0": 1, "1": 1, "2": 2}
        assert world.slot("digits").leases == 0


def test_telemetry_hears_of_it_once_the_answer_is_sent():
    with serving() as world:
        world.runs(FakeSession(1))
        call = standing(world)
        world.windows()
        call.run(an_image_sent(), patient=False)
        assert world.windows() == []
        call.sent()
        call.sent()
        (window,) = world.windows()
        assert window.predictions == {"1": 1}


def test_another_version_answers_nothing_that_was_checked_for_this_one():
    with serving() as world:
        world.runs(FakeSession(1))
        call = standing(world)
        other = FakeSession(2)
        world.runs(other, a_manifest(2))
        assert call.run(an_image_sent(), patient=True) is None
        call.sent()
        assert other.batches == []
        assert world.slot("digits").leases == 0
        again = standing(world).run(an_image_sent(), patient=False)
        assert isinstance(again, Answered)
        assert again.manifest.version == 2


def test_a_version_that_goes_live_between_two_looks_answers_nothing_either(monkeypatch):
    with serving() as world:
        world.runs(FakeSession(1))
        call, slot, other = standing(world), world.slot("digits"), FakeSession(2)
        begin = slot.begin

        def switched():
            world.runs(other, a_manifest(2))
            return begin()

        monkeypatch.setattr(slot, "begin", switched)
        assert call.run(an_image_sent(), patient=True) is None
        assert (other.batches, slot.leases) == ([], 0)


def test_a_model_that_is_gone_answers_nothing():
    with serving() as world:
        world.runs(FakeSession(1))
        call = standing(world)
        world.slot("digits").switch(None)
        # Whether it will be back or not, the engine knows.
        assert call.run(an_image_sent(), patient=False) is None
        assert isinstance(world.ask().wait()[0], ModelUnready)
        del world.known["digits"]
        assert call.run(an_image_sent(), patient=False) is None
        assert isinstance(world.ask().wait()[0], ModelUnknown)
        assert world.engine.standing(Call("digits", an_image()), IMAGE) is None


def test_one_that_became_slow_is_left_to_the_workers():
    with serving() as world:
        session = FakeSession(1)
        world.runs(session)
        call = standing(world)
        session.instead = lambda: time.sleep(0.001)
        until(lambda: call.run(an_image_sent(), patient=False) is None)
        assert not call.ready(patient=False)
        # Who has nothing else to do may wait for it.
        until(lambda: world.ask().wait() and isinstance(call.run(an_image_sent(), patient=True), Answered))
        session.instead = lambda: time.sleep(0.05)
        until(lambda: call.run(an_image_sent(), patient=True) is None)
        assert not call.ready(patient=True)


def test_it_does_not_overtake_what_waits():
    with serving(workers=1) as world:
        session = FakeSession(1)
        world.runs(session)
        call = standing(world)
        gate = Gate()
        session.instead = gate
        served = world.engine._served["digits"]
        served.quick = False
        held = [world.ask() for _ in range(2)]
        until(lambda: gate.inside)
        served.quick = True
        assert not call.ready(patient=True)
        assert call.run(an_image_sent(), patient=True) is None
        gate.open()
        for one in held:
            one.wait()
        assert call.ready(patient=True)
        assert isinstance(call.run(an_image_sent(), patient=True), Answered)


def test_two_threads_do_not_both_run_models_for_themselves():
    with serving() as world:
        session = FakeSession(1)
        world.runs(session)
        one, other = standing(world), standing(world)
        gate = Gate()
        session.instead = gate
        answers: list[object] = []
        thread = threading.Thread(target=lambda: answers.append(one.run(an_image_sent(), patient=False)))
        thread.start()
        until(lambda: gate.inside)
        assert other.run(an_image_sent(), patient=False) is None
        gate.open()
        thread.join()
        assert isinstance(answers[0], Answered)


def test_a_parked_model_is_not_opened_on_the_thread_that_asks():
    with serving() as world:
        first, second = FakeSession(1), FakeSession(2)
        world.runs(first, reopen=lambda: second)
        call = standing(world)
        assert world.slot("digits").park()
        assert call.run(an_image_sent(), patient=True) is None
        assert world.slot("digits").parked


def test_it_is_over_once_the_model_was_loaded_anew_or_another_is_live():
    with serving() as world:
        world.runs(FakeSession(1), reopen=lambda: FakeSession(2))
        call, other = standing(world), standing(world)
        assert isinstance(call.run(an_image_sent(), patient=False), Answered)
        call.sent()
        assert world.slot("digits").park()
        world.ask().wait()
        assert not call.over, "nobody has looked"
        assert call.run(an_image_sent(), patient=True) is None
        assert call.over
        assert not other.over, "it has run nothing yet"
        world.runs(FakeSession(1), a_manifest(9))
        assert other.over


def test_a_failure_is_told_and_counted_once():
    with serving() as world:
        session = FakeSession(1)
        world.runs(session)
        call = standing(world)
        world.windows()

        def fail() -> None:
            raise InferenceFailed("The model could not.")

        session.instead = fail
        assert isinstance(call.run(an_image_sent(), patient=False), InferenceFailed)
        call.sent()
        assert world.slot("digits").health().errors == 1
        (window,) = world.windows()
        assert window.errors == 1
        assert world.engine.statistics("digits")[1].fail_count == 1


def test_an_engine_that_is_closed_runs_nothing():
    with serving() as world:
        session = FakeSession(1)
        world.runs(session)
        call = standing(world)
        runs = len(session.batches)
        world.engine.close()
        assert call.run(an_image_sent(), patient=True) is None
        assert len(session.batches) == runs


def test_the_shadow_hears_of_it(monkeypatch):
    monkeypatch.setattr(shadow, "TRICKLE_SHARE", 1.0)
    with serving() as world:
        challenger = FakeSession(2)
        world.runs(FakeSession(1))
        world.runs(challenger, a_manifest(2), "digits@shadow")
        call = standing(world)
        until(lambda: not world.engine._shadow._offers)
        before = len(challenger.batches)
        call.run(an_image_sent(), patient=False)
        call.sent()
        until(lambda: len(challenger.batches) > before)
        # Gaps between calls begin with any answer, also with one that is not offered.
        world.slot("digits@shadow").switch(None)
        gaps = world.engine._shadow._gaps
        for _ in range(GAPS):
            call.run(an_image_sent(), patient=False)
            call.sent()
        assert gaps.quiet_wanted(time.monotonic()) is not None


def test_the_model_is_at_work_until_the_answer_is_sent_and_health_then_knows_of_it():
    with serving() as world:
        world.runs(FakeSession(1))
        call, slot = standing(world), world.slot("digits")
        before = slot.health().count
        call.run(an_image_sent(), patient=False)
        assert (slot.leases, slot.health().count) == (1, before)
        # The next finds the one before done.
        call.run(an_image_sent(), patient=False)
        assert (slot.leases, slot.health().count) == (1, before + 1)
        call.sent()
        assert (slot.leases, slot.health().count) == (0, before + 2)


def test_a_client_that_rests_keeps_no_tensors():
    with serving() as world:
        session, seen = FakeSession(1), []
        world.runs(session)
        call, ordinary = standing(world), session.run

        def run(inputs):
            seen.append(weakref.ref(inputs["image"]))
            return ordinary(inputs)

        session.run = run
        assert isinstance(call.run(an_image_sent(), patient=False), Answered)
        call.sent()
        assert seen[-1]() is None


def test_what_does_not_fit_has_no_standing():
    with serving() as world:
        world.runs(FakeSession(1))
        assert world.engine.standing(Call("digits", {"image": np.zeros((1, 5), np.float32)}), IMAGE) is None
        assert world.engine.standing(Call("nobody", an_image()), IMAGE) is None
        assert world.engine.standing(Call("digits", an_image(), ("sores",)), IMAGE) is None
        assert world.engine.standing(Call("digits", an_image(), version="9"), IMAGE) is None
