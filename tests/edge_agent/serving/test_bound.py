"""A quick model is bound to memory of its own standing call, and answers, telemetry and shadows are as ever."""

from types import SimpleNamespace

import msgspec
import numpy as np

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving import desk
from edge_agent.serving.packed import Packed
from edge_agent.serving.port import Answered, Call
from fleet_contract.manifest import Histogram, Reference
from tests.edge_agent.serving.standing_calls import an_image_sent, bound, standing
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import BindingSession, FakeSession, an_image, serving


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
