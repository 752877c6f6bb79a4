"""What waits for a worker: bounded in calls and bytes, fair between models, and gone with who called."""

import numpy as np
import pytest

from edge_agent.serving.port import Answered, Call, Overloaded
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import Answers, FakeSession, Gate, an_image, serving
from tests.fakes.waiting import until


def test_no_more_than_the_workers_run_at_once_and_no_more_than_the_queue_wait():
    gate = Gate()
    with serving(queue=3, workers=2) as world:
        world.runs(FakeSession(1, gate))
        running = [world.ask() for _ in range(2)]
        until(lambda: gate.inside == 2)
        waiting = [world.ask() for _ in range(3)]
        (refused,) = world.ask().given
        assert isinstance(refused, Overloaded)
        assert refused.retry_after_seconds >= 1
        assert gate.inside == 2
        gate.open()
        assert all(isinstance(one.wait()[0], Answered) for one in (*running, *waiting))
        found = world.engine.statistics("digits")[1]
        assert (found.success_count, found.fail_count) == (5, 1)
    assert world.slot("digits").health().count == 5


@pytest.mark.parametrize(
    "large",
    [np.zeros((1, 4096), np.float32), np.array([[b"a word of sixteen"] * 256], object)],
    ids=["numbers", "strings"],
)
def test_what_waits_is_bounded_in_bytes_too_and_a_single_call_may_be_of_any_size(large):
    gate = Gate()
    manifest = a_manifest(inputs=(Tensor("image", "BYTES" if large.dtype == object else "FP32", (-1, -1)),))
    with serving(queue=64, queue_max_bytes=3 * 16_384, workers=1) as world:
        world.runs(FakeSession(1, gate), manifest)
        answers = Answers()

        def ask(rows: int) -> None:
            world.engine.submit(Call("digits", {"image": np.repeat(large, rows, axis=0)}), answers)

        ask(1)
        until(lambda: gate.inside == 1)
        ask(8)
        assert answers.given == [], "nothing waited, so it may, however large it is"
        ask(1)
        (refused,) = answers.given
        assert isinstance(refused, Overloaded)
        assert "1 calls wait already" in str(refused)
        gate.open()
        answers.wait(3)
        for _ in range(2):
            ask(1)
        assert not any(isinstance(one, Overloaded) for one in answers.wait(5)[1:]), "what was taken makes room"
        assert world.engine._backlog.size_bytes == 0


def test_what_workers_have_taken_is_held_with_what_waits_for_them():
    large, gate = np.zeros((4, 4), np.float32), Gate()
    with serving(workers=2) as world:
        world.runs(FakeSession(1, gate))
        world.slot("digits").pause()
        answers = Answers()
        for _ in range(3):
            world.engine.submit(Call("digits", {"image": large}), answers)
        until(lambda: world.engine._backlog.count == 1)
        assert world.engine.held_bytes == 3 * large.nbytes
        world.slot("digits").resume()
        gate.open()
        answers.wait(3)
        until(lambda: world.engine.held_bytes == 0)


def test_who_asks_too_much_of_one_model_does_not_starve_another():
    gate = Gate()
    with serving("digits", "faces", queue=10, workers=1) as world:
        world.runs(FakeSession(1, gate))
        world.runs(FakeSession(2), key="faces")
        order: list[str] = []
        for model in ["digits"] * 5 + ["faces"]:
            world.engine.submit(Call(model, an_image()), lambda _, model=model: order.append(model))
        gate.open()
        until(lambda: len(order) == 6)
    assert order.index("faces") <= 2


def test_a_cancelled_call_is_not_run():
    gate = Gate()
    with serving(queue=3, workers=1) as world:
        session = FakeSession(None, gate)
        world.runs(session)
        first = world.ask(0)
        until(lambda: gate.inside == 1)
        gone = Answers()
        ticket = world.engine.submit(Call("digits", an_image(1)), gone)
        last = world.ask(2)
        ticket.cancel()
        gate.open()
        first.wait()
        last.wait()
        assert gone.given == []
        assert len(session.batches) == 2
