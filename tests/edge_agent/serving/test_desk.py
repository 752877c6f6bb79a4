"""What a worker runs often is read to memory of its own, which the model is bound to, and answered as ever."""

import threading

import msgspec
import numpy as np
import pytest

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving import desk
from edge_agent.serving.packed import Packed
from edge_agent.serving.port import Answered, Call
from fleet_contract.manifest import Histogram, Reference
from tests.edge_agent.serving.standing_calls import IMAGE
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import BindingSession, FakeSession, an_image, serving

HEAD = 100


class Worker:
    """Runs a call as a client's connection has a worker do."""

    def __init__(self, world):
        found = world.engine.standing(Call("digits", an_image()), IMAGE)
        assert found is not None
        self.call = found

    def run(self, label, before=HEAD):
        """What came of it, and whether there was a place for its tensors."""
        tensors = an_image(label)["image"].tobytes()
        room = self.call.room_next(before)
        if room is None:
            answer = self.call.run_next(tensors)
        else:
            assert len(room) == before + len(tensors)
            room[before:] = tensors
            answer = self.call.run_next(room[before:])
        label = int(answer.outputs["scores"].argmax()) if isinstance(answer, Answered) else answer
        self.call.sent()
        return label, room is not None

    def settled(self):
        """The same once its call has a place."""
        for _ in range(desk._WORTH_RUNS):
            assert self.run(1) == (1, False)
        return self


@pytest.fixture
def world():
    with serving() as world:
        world.runs(BindingSession())
        yield world


def test_what_is_run_again_and_again_has_a_place_from_then_on(world):
    worker = Worker(world).settled()
    session = world.slot("digits").begin().loaded.session
    before = session.bound_runs
    for label in (0, 1, 2, 2):
        assert worker.run(label) == (label, True)
    assert session.bound_runs == before + 4
    (window,) = world.windows()
    assert window.predictions == {"0": 1, "1": desk._WORTH_RUNS + 1, "2": 2}


def test_the_place_is_the_same_for_all_clients_and_another_for_another_thread(world):
    one, other = Worker(world).settled(), Worker(world)
    # Not before it has a lease.
    assert other.run(2) == (2, False)
    assert other.run(2) == (2, True)
    assert one.run(0) == (0, True)
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(one.run(1)))
    thread.start()
    thread.join()
    assert elsewhere == [(1, False)]


def test_a_long_beginning_has_no_place(world):
    worker = Worker(world).settled()
    assert worker.run(2, before=5000) == (2, False)
    assert worker.run(2, before=4096) == (2, True)


def test_tensors_begin_where_they_can_be_read_from_whatever_comes_before(world):
    worker = Worker(world).settled()
    for before in (1, 17, 63):
        room = worker.call.room_next(before)
        assert np.frombuffer(room[before:], np.uint8).ctypes.data % 16 == 0


def test_another_version_is_never_run_with_what_was_bound_to_the_one_before(world):
    worker, session = Worker(world).settled(), world.slot("digits").begin().loaded.session
    room, before = worker.call.room_next(HEAD), session.bound_runs
    assert room is not None
    world.runs(FakeSession(2), a_manifest(2))
    assert worker.call.run_next(room[HEAD:]) is None
    assert session.bound_runs == before
    worker = Worker(world)
    assert [worker.run(0) for _ in range(2)] == [(2, False), (2, False)]
    assert len(world.engine._execution.desk()._places) == 1, "the one before is gone"


def test_where_it_would_say_something_else_there_is_no_place(world):
    world.runs(BindingSession(off=1.0))
    worker = Worker(world).settled()
    for label in (0, 1, 2):
        assert worker.run(label) == (label, False)


def test_where_it_fails_it_is_answered_in_the_ordinary_way_from_then_on(world, monkeypatch):
    worker, session = Worker(world).settled(), world.slot("digits").begin().loaded.session

    def fail(_):
        raise InferenceFailed("It cannot.")

    monkeypatch.setattr("tests.fakes.sessions.FakeBound.run", fail)
    before = session.bound_runs
    for label, had_place in ((2, True), (0, False), (1, False)):
        assert worker.run(label) == (label, had_place)
    assert session.bound_runs == before
    assert world.engine.statistics("digits")[1].fail_count == 0


def test_no_more_places_are_kept_than_a_few(world):
    places = desk.Desk()
    loaded = world.slot("digits").begin().loaded
    forms = [Packed([("image", np.dtype(np.float32), (rows, 4))]) for rows in range(1, 7)]
    first = [places.place(loaded, form) for form in forms]
    assert [places.place(loaded, form) is one for form, one in zip(forms[-4:], first[-4:], strict=True)] == [True] * 4
    assert places.place(loaded, forms[0]) is not first[0]


def test_the_place_that_was_not_asked_for_longest_goes_first(world):
    places = desk.Desk()
    loaded = world.slot("digits").begin().loaded
    often, *others = [Packed([("image", np.dtype(np.float32), (rows, 4))]) for rows in range(1, 9)]
    first = places.place(loaded, often)
    for form in others:
        places.place(loaded, form)
        assert places.place(loaded, often) is first


def test_who_looks_at_them_later_has_the_numbers_of_that_call(world, monkeypatch):
    reference = Reference(10, {"0": 10}, Histogram((0.5,), (1, 1)), {"image.mean": Histogram((0.5, 1.5), (1, 1, 1))})
    world.runs(BindingSession(), msgspec.structs.replace(a_manifest(), reference=reference))
    worker = Worker(world).settled()
    world.windows()
    world.runs(FakeSession(2), a_manifest(2), "digits@shadow")
    offers = []
    monkeypatch.setattr(world.engine._shadow, "offer", lambda _, seen, inputs: offers.append((seen.scores, inputs)))
    for label in (0, 1, 2):
        assert worker.run(label) == (label, True)
    assert [int(scores.argmax()) for scores, _ in offers] == [0, 1, 2]
    assert [float(inputs["image"][0, 0]) for _, inputs in offers] == [0, 1, 2]
    (window,) = world.windows()
    assert window.features == {"image.mean": (1, 1, 1)}
