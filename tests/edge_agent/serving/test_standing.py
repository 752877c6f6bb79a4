"""A standing call is answered as if it had been submitted, or not at all."""

import threading
import time
import weakref
from types import SimpleNamespace

import msgspec
import numpy as np

from edge_agent.core.batching import Bounds
from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving import desk, shadow
from edge_agent.serving.gaps import GAPS
from edge_agent.serving.packed import Packed
from edge_agent.serving.port import Answered, Call, ModelUnknown, ModelUnready
from fleet_contract.manifest import Histogram, Reference
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import BindingSession, FakeSession, Gate, an_image, serving
from tests.fakes.waiting import until

IMAGE = Packed([("image", np.dtype(np.float32), (1, 4))])


def standing(world):
    """The standing call of a model that has become quick."""
    until(lambda: world.ask().threads == [threading.current_thread().name])
    found = world.engine.standing(Call("digits", an_image()), IMAGE)
    assert found is not None
    return found


def an_image_sent(label=1):
    return an_image(label)["image"].tobytes()


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
        world.ask()
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


def bound(world):
    """The standing call of a model that has become quick, and has run in memory of its own once, as a proof."""
    call = standing(world)
    assert isinstance(call.run(an_image_sent(), patient=False), Answered)
    call.sent()
    world.windows()
    return call


def test_what_can_be_bound_answers_each_call_with_its_own_numbers_out_of_the_same_memory():
    with serving() as world:
        session = BindingSession()
        world.runs(session)
        call = bound(world)
        runs, answers = session.bound_runs, []
        for label in (0, 1, 2, 2):
            answer = call.run(an_image_sent(label), patient=False)
            call.sent()
            assert isinstance(answer, Answered)
            assert answer.outputs["scores"].argmax() == label
            answers.append(answer)
        assert len({id(one) for one in answers}) == 1
        assert session.bound_runs == runs + 4
        (window,) = world.windows()
        assert window.predictions == {"0": 1, "1": 1, "2": 2}


def test_a_session_that_says_something_else_when_it_is_bound_is_not():
    with serving() as world:
        session = BindingSession(off=0.5)
        world.runs(session)
        call = bound(world)
        for label in (0, 1, 2):
            answer = call.run(an_image_sent(label), patient=False)
            call.sent()
            assert isinstance(answer, Answered)
            assert answer.outputs["scores"].tolist() == np.eye(3)[[label]].tolist()
        assert session.bound_runs == 1, "the proof"


def test_an_output_that_a_bound_run_never_writes_does_not_pass_for_right_by_what_lay_there(monkeypatch):
    # Such as one that is an input, which ONNX Runtime hands out instead of copying it.
    with serving() as world:
        session = BindingSession()
        monkeypatch.setattr(session, "bind", lambda *_: SimpleNamespace(run=lambda: None))
        world.runs(session)
        call = standing(world)
        fresh = np.empty
        monkeypatch.setattr(np, "empty", lambda *form: an_old_answer() if form[0] == (1, 3) else fresh(*form))
        for label in (1, 2, 0):
            answer = call.run(an_image_sent(label), patient=False)
            call.sent()
            assert isinstance(answer, Answered)
            assert answer.outputs["scores"].argmax() == label


def an_old_answer():
    """What label 1 was answered."""
    return np.eye(3, dtype=np.float32)[[1]]


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


def test_large_tensors_are_not_bound_for_they_would_be_kept_for_each_client():
    with serving() as world:
        session, rows = BindingSession(1), 5000
        world.runs(session)
        standing(world)
        image = an_image(1, rows)
        call = world.engine.standing(Call("digits", image), Packed([("image", np.dtype(np.float32), (rows, 4))]))
        assert isinstance(call.run(image["image"].tobytes(), patient=False), Answered)
        call.sent()
        assert session.bound_runs == 0


def test_a_model_that_also_gives_what_is_no_tensor_is_answered_in_the_ordinary_way():
    # As classifiers of scikit-learn give a list of dictionaries beside the label.
    with serving() as world:
        session = BindingSession()
        ordinary = session.run
        session.run = lambda inputs: {**ordinary(inputs), "probabilities": [{0: 1.0}]}
        world.runs(session)
        call = bound(world)
        for label in (0, 1, 2):
            answer = call.run(an_image_sent(label), patient=False)
            call.sent()
            assert isinstance(answer, Answered)
            assert answer.outputs["scores"].argmax() == label
        assert session.bound_runs == 0


def test_a_fault_in_binding_costs_nobody_his_answer(monkeypatch, caplog):
    with serving() as world:
        session = BindingSession()
        monkeypatch.setattr(session, "bind", lambda *_: 1 / 0)
        world.runs(session)
        answer = standing(world).run(an_image_sent(2), patient=False)
        assert isinstance(answer, Answered)
        assert answer.outputs["scores"].argmax() == 2
        assert "are not bound" in caplog.text


def test_outputs_of_another_shape_and_failures_are_found_out_about_in_the_ordinary_way():
    with serving() as world:
        session = BindingSession()
        world.runs(session)
        call = bound(world)
        ordinary = session.run
        session.run = lambda inputs: {"scores": np.repeat(ordinary(inputs)["scores"], 2, axis=0)}
        answer = call.run(an_image_sent(2), patient=False)
        call.sent()
        assert isinstance(answer, Answered)
        assert answer.outputs["scores"].shape == (2, 3)
        runs = session.bound_runs
        call.run(an_image_sent(2), patient=False)
        call.sent()
        assert session.bound_runs == runs, "what failed once is not tried each time"

        def fail(_):
            raise InferenceFailed("The model could not.")

        session.run = fail
        assert isinstance(call.run(an_image_sent(), patient=False), InferenceFailed)
        assert world.slot("digits").leases == 0
        assert world.slot("digits").health().errors == 1


def test_features_are_of_the_call_that_was_answered_and_not_of_the_next():
    reference = Reference(10, {"0": 10}, Histogram((0.5,), (1, 1)), {"image.mean": Histogram((0.5, 1.5), (1, 1, 1))})
    with serving() as world:
        world.runs(BindingSession(), msgspec.structs.replace(a_manifest(), reference=reference))
        call = bound(world)
        for label in (0, 1, 2, 2):
            call.run(an_image_sent(label), patient=False)
            call.sent()
        (window,) = world.windows()
        assert window.features == {"image.mean": (1, 1, 2)}
        assert window.predictions == {"0": 1, "1": 1, "2": 2}


def test_after_a_turn_at_a_worker_telemetry_hears_of_the_next_call_and_not_of_that_one(monkeypatch):
    monkeypatch.setattr(desk, "_WORTH_RUNS", 2)
    reference = Reference(10, {"0": 10}, Histogram((0.5,), (1, 1)), {"image.mean": Histogram((0.5, 1.5), (1, 1, 1))})
    with serving() as world:
        world.runs(BindingSession(), msgspec.structs.replace(a_manifest(), reference=reference))
        call = bound(world)
        world.windows()
        # At a worker in the ordinary way, and then at its desk.
        for _ in range(3):
            call.room_next(0)
            call.run_next(an_image_sent(0))
            call.sent()
            call.run(an_image_sent(2), patient=False)
            call.sent()
        (window,) = world.windows()
        assert window.predictions == {"0": 3, "2": 3}
        assert window.features == {"image.mean": (3, 0, 3)}


def test_a_shadow_gets_inputs_and_answers_that_nobody_writes_over(monkeypatch):
    with serving() as world:
        world.runs(BindingSession())
        call = bound(world)
        world.runs(FakeSession(2), a_manifest(2), "digits@shadow")
        offers = []
        monkeypatch.setattr(world.engine._shadow, "offer", lambda _, seen, inputs: offers.append((seen.scores, inputs)))
        for label in (0, 1, 2):
            call.run(an_image_sent(label), patient=False)
            call.sent()
        assert [int(scores.argmax()) for scores, _ in offers] == [0, 1, 2]
        assert [float(inputs["image"][0, 0]) for _, inputs in offers] == [0, 1, 2]


def test_what_does_not_fit_has_no_standing():
    with serving() as world:
        world.runs(FakeSession(1))
        assert world.engine.standing(Call("digits", {"image": np.zeros((1, 5), np.float32)}), IMAGE) is None
        assert world.engine.standing(Call("nobody", an_image()), IMAGE) is None
        assert world.engine.standing(Call("digits", an_image(), ("sores",)), IMAGE) is None
        assert world.engine.standing(Call("digits", an_image(), version="9"), IMAGE) is None


def slow(world, session, **more):
    """The standing call of a model that is not quick."""
    world.runs(session, **more)
    found = world.engine.standing(Call("digits", an_image()), IMAGE)
    assert found is not None
    return found


class Turns:
    """Calls that wait, each as a client's connection has it done."""

    def __init__(self, call):
        self.call = call
        self.given = []
        self.called = []

    def begin(self, label):
        def begin(may_run):
            self.called.append(may_run)
            if may_run:
                answer = self.call.run_next(an_image_sent(label))
                self.given.append(int(answer.outputs["scores"].argmax()) if isinstance(answer, Answered) else answer)
                self.call.sent()

        return self.call.wait(begin)


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
