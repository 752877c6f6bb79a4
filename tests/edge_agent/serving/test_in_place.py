"""A standing call whose tensors their client may write to again: it is answered as any other, and nobody is shown
numbers that are not those that were answered."""

import msgspec
import numpy as np
import pytest

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving.in_place import Laid
from edge_agent.serving.port import Answered, AnsweredInPlace, Call
from fleet_contract.manifest import Histogram, Reference
from tests.edge_agent.serving.standing_calls import IMAGE
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import BindingSession, FakeSession, an_image, serving
from tests.fakes.waiting import until


class Shared:
    """One image and room for its scores, in memory of a client."""

    def __init__(self, output_bytes=12):
        self.image = np.zeros((1, 4), np.float32)
        self.scores = np.zeros((1, 3), np.float32)
        self.laid = Laid({"image": self.image}, {"scores": memoryview(self.scores).cast("B")[:output_bytes]})


@pytest.fixture(autouse=True)
def a_busy_machine_makes_no_model_slow(monkeypatch):
    monkeypatch.setattr("edge_agent.serving.served.PATIENT_NS", 60_000_000_000)


@pytest.fixture
def shared():
    return Shared()


def standing(world):
    until(lambda: world.ask().given)
    call = world.engine.standing(Call("digits", an_image()), IMAGE)
    assert call is not None
    until(lambda: call.ready(patient=True))
    world.windows()
    return call


def bound(world, shared):
    """The standing call once it is bound to `shared`."""
    call = standing(world)
    for label in (0, 1):
        asked(call, shared, label)
    return call


def asked(call, shared, label):
    shared.image[:] = label
    answer = call.run_in_place(shared.laid, patient=True)
    # As soon as it has its answer, the client goes on.
    found = shared.scores.argmax() if isinstance(answer, AnsweredInPlace) else None
    shared.image[:] = shared.scores[:] = np.nan
    call.sent()
    return answer, found


def test_each_is_answered_with_its_own_numbers_in_the_rooms_and_counted_as_such(shared):
    with serving() as world:
        session = BindingSession()
        world.runs(session, a_manifest(3))
        call, answers = standing(world), []
        first, _ = asked(call, shared, 1)
        assert isinstance(first, Answered)
        assert first.outputs["scores"].argmax() == 1
        for label in (0, 1, 2, 2):
            answer, found = asked(call, shared, label)
            assert found == label
            answers.append(answer)
        assert len({id(one) for one in answers}) == 1
        (window,) = world.windows()
        assert window.predictions == {"0": 1, "1": 2, "2": 2}
        assert world.slot("digits").leases == 0


@pytest.mark.parametrize("session", [FakeSession(), BindingSession(off=0.5)])
def test_what_cannot_be_bound_there_is_answered_in_the_ordinary_way(shared, session):
    with serving() as world:
        world.runs(session)
        call = standing(world)
        for label in (0, 1, 2, 2):
            answer, found = asked(call, shared, label)
            assert found is None
            assert answer.outputs["scores"].tolist() == np.eye(3)[[label]].tolist()
        (window,) = world.windows()
        assert window.predictions == {"0": 1, "1": 1, "2": 2}


def test_a_run_that_leaves_its_rooms_as_they_are_is_not_taken_for_one_that_answers_the_same(shared, monkeypatch):
    with serving() as world:
        session = BindingSession()
        monkeypatch.setattr(session, "bind", lambda *_: Idle())
        world.runs(session)
        call = standing(world)
        for label in (1, 2, 0):
            # As it was answered before, here or somewhere else.
            shared.scores[:] = np.eye(3)[1]
            shared.image[:] = label
            answer = call.run_in_place(shared.laid, patient=True)
            call.sent()
            assert answer.outputs["scores"].argmax() == label


class Idle:
    def run(self):
        pass


@pytest.mark.parametrize("rooms", [{}, {"other": memoryview(bytearray(12))}])
def test_an_output_that_has_no_room_or_too_little_is_left_to_the_caller(rooms):
    for laid in (Laid({"image": an_image(2)["image"]}, rooms), Shared(output_bytes=8).laid):
        with serving() as world:
            session = BindingSession()
            world.runs(session)
            call = standing(world)
            for _ in range(3):
                answer = call.run_in_place(laid, patient=True)
                call.sent()
                assert isinstance(answer, Answered)
                assert not isinstance(answer, AnsweredInPlace)
            assert session.bound_runs == 0


def test_what_lies_elsewhere_now_is_read_and_written_there(shared):
    with serving() as world:
        world.runs(BindingSession())
        call = standing(world)
        for label in (0, 1, 2):
            asked(call, shared, label)
        other = Shared()
        for label in (2, 1, 0):
            asked(call, other, label)
        assert asked(call, other, 2)[1] == 2
        assert asked(call, shared, 1)[0].outputs["scores"].argmax() == 1


def test_a_model_that_could_run_beyond_its_memory_is_never_shown_what_may_change(shared):
    with serving() as world:
        session = FakeSession()
        session.bears = False
        world.runs(session)
        call = standing(world)
        before = len(session.batches)
        for label in (0, 1, 2):
            shared.image[:] = label
            assert call.run_in_place(shared.laid, patient=True) is None
            assert world.slot("digits").leases == 0
            assert isinstance(call.run(shared.image.tobytes(), patient=True), Answered)
            call.sent()
        assert len(session.batches) == before + 3
        (window,) = world.windows()
        assert window.predictions == {"0": 1, "1": 1, "2": 1}


@pytest.mark.parametrize("at", [4, 8, 16])
def test_nothing_is_written_over_what_is_yet_to_be_read(at):
    memory = np.zeros(8, np.float32)
    laid = Laid({"image": memory[:4].reshape(1, 4)}, {"scores": memoryview(memory).cast("B")[at : at + 12]})
    with serving() as world:
        session = BindingSession()
        world.runs(session)
        call = standing(world)
        for label in (0, 1, 2):
            memory[:] = label
            assert isinstance(answer := call.run_in_place(laid, patient=True), Answered)
            assert answer.outputs["scores"].argmax() == label
            call.sent()
        assert bool(session.bound_runs) is (at >= 16)


def test_features_are_counted_of_a_copy_once_for_each_call(shared, monkeypatch):
    reference = Reference(10, {"0": 10}, Histogram((0.5,), (1, 1)), {"image.mean": Histogram((0.5, 1.5), (1, 1, 1))})
    with serving() as world:
        world.runs(BindingSession(), msgspec.structs.replace(a_manifest(), reference=reference))
        call, wants, asked = standing(world), world.tally.wants, []
        monkeypatch.setattr(world.tally, "wants", lambda *more: asked.append(1) or wants(*more))
        for label in (0, 1, 2, 2):
            shared.image[:] = label
            assert call.run_in_place(shared.laid, patient=True) is None
            assert isinstance(call.run(shared.image.tobytes(), patient=True), Answered)
            shared.image[:] = np.nan
            call.sent()
        assert len(asked) == 4, "each is paid for once"
        (window,) = world.windows()
        assert window.features == {"image.mean": (1, 1, 2)}


def test_features_that_telemetry_has_no_time_for_keep_nothing_from_being_read_in_place(shared, monkeypatch):
    with serving() as world:
        reference = Reference(10, {"0": 10}, Histogram((0.5,), (1, 1)), {"image.mean": Histogram((0.5,), (1, 1))})
        world.runs(BindingSession(), msgspec.structs.replace(a_manifest(), reference=reference))
        call, wanted = standing(world), []
        monkeypatch.setattr(world.tally, "wants", lambda *_: wanted.append(1) is not None)
        for label in (0, 1, 2):
            assert asked(call, shared, label)[0] is not None
        (window,) = world.windows()
        assert window.features == {"image.mean": (0, 0)}
        assert len(wanted) == 3, "it is asked once for each"


def test_a_shadow_gets_a_copy(shared, monkeypatch):
    with serving() as world:
        world.runs(BindingSession())
        call = bound(world, shared)
        # What was asked before there is a shadow is shown to none, however late it is counted.
        world.tally.flush()
        world.runs(FakeSession(2), a_manifest(2), "digits@shadow")
        offers = []
        monkeypatch.setattr(
            world.engine._shadow, "offer", lambda _, seen, inputs: offers.append(inputs["image"].copy())
        )
        shared.image[:] = 2
        assert call.run_in_place(shared.laid, patient=True) is None
        call.run(shared.image.tobytes(), patient=True)
        shared.image[:] = np.nan
        call.sent()
        world.tally.flush()
        assert [float(one[0, 0]) for one in offers] == [2]


def test_a_shadow_that_comes_while_it_runs_is_shown_nothing(shared, monkeypatch):
    with serving() as world:
        session = BindingSession()
        world.runs(session)
        call = bound(world, shared)
        session.instead = lambda: world.runs(FakeSession(2), a_manifest(2), "digits@shadow")
        monkeypatch.setattr(world.engine._shadow, "offer", lambda *_: pytest.fail("its inputs are gone"))
        assert asked(call, shared, 2)[1] == 2


def test_a_failure_is_told_and_counted_once(shared):
    with serving() as world:
        session = BindingSession()
        world.runs(session)
        call = bound(world, shared)

        def fail():
            raise InferenceFailed("The model could not.")

        session.instead = fail
        before = world.slot("digits").health().errors
        assert isinstance(asked(call, shared, 1)[0], InferenceFailed)
        assert world.slot("digits").health().errors == before + 1
        assert world.slot("digits").leases == 0
        session.instead = lambda: None
        assert isinstance(asked(call, shared, 1)[0], Answered)


def test_another_version_answers_nothing_that_was_checked_for_this_one(shared):
    with serving() as world:
        world.runs(BindingSession())
        call = bound(world, shared)
        other = FakeSession(2)
        world.runs(other, a_manifest(2))
        assert call.run_in_place(shared.laid, patient=True) is None
        call.sent()
        assert other.batches == []
