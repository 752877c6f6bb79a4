"""Calls that wait for the same model go through it together, and each gets what it would have got alone."""

import time

import numpy as np

from edge_agent.core.batching import Bounds
from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving.port import Call
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import Answers, FakeSession, Gate, serving
from tests.fakes.waiting import until


def test_calls_that_wait_together_go_together_and_get_their_own_rows_back():
    gate = Gate()
    with serving(workers=1, batching={"digits": Bounds(max_rows=8)}) as world:
        session = FakeSession(None, gate)
        world.runs(session)
        first = world.ask(0)
        until(lambda: gate.inside == 1)
        others = [world.ask(label, rows=rows) for label, rows in ((1, 2), (2, 1), (0, 3), (1, 4))]
        gate.open()
        first.wait()
        for answers, label, rows in zip(others, (1, 2, 0, 1), (2, 1, 3, 4), strict=True):
            scores = answers.wait()[0].outputs["scores"]
            assert scores.argmax(axis=1).tolist() == [label] * rows
        assert session.batches == [1, 6, 4], "6 rows fit into 8, and 4 more would not"
        found = world.engine.statistics("digits")[1]
        assert (found.inference_count, found.execution_count, found.success_count) == (11, 3, 5)
        assert {rows: batch.count for rows, batch in found.batches.items()} == {1: 1, 4: 1, 6: 1}
        together = found.batches[6].compute_infer_ns
        alone = found.batches[1].compute_infer_ns + found.batches[4].compute_infer_ns
        assert found.compute_infer_ns == 3 * together + alone, "each of three that went together took as long as all"
        assert found.success_ns >= found.queue_ns + found.compute_input_ns + found.compute_infer_ns
    assert world.windows()[0].count == 11


def test_a_call_waits_for_others_only_until_the_batch_is_full():
    with serving(workers=2, batching={"digits": Bounds(2, 3600.0)}) as world:
        session = FakeSession()
        world.runs(session)
        first, second = world.ask(1), world.ask(2)
        first.wait()
        second.wait()
        assert session.batches == [2]


def test_a_lonely_call_waits_for_others_as_long_as_its_bound_and_then_goes_alone():
    with serving(workers=2, batching={"digits": Bounds(8, 0.05)}) as world:
        session = FakeSession()
        world.runs(session)
        began = time.monotonic()
        world.ask().wait()
        assert time.monotonic() - began >= 0.05
        assert session.batches == [1]


def test_calls_that_differ_in_more_than_their_rows_do_not_go_together():
    gate = Gate()
    with serving(workers=1, batching={"digits": Bounds(8)}) as world:
        session = FakeSession(None, gate)
        world.runs(session, a_manifest(inputs=(Tensor("image", "FP32", (-1, -1)),)))
        world.ask(0)
        until(lambda: gate.inside == 1)
        several = []
        for width in (4, 4, 5, 4):
            several.append(Answers())
            world.engine.submit(Call("digits", {"image": np.full((1, width), 2, np.float32)}), several[-1])
        gate.open()
        assert all(one.wait() and one.labels == [2] for one in several)
        assert session.batches == [1, 2, 1, 1]


def test_one_bad_record_in_a_batch_fails_alone():
    class Picky(FakeSession):
        def run(self, inputs):
            if (inputs["image"] == 2).any():
                raise InferenceFailed("I take no 2.")
            return super().run(inputs)

    gate = Gate()
    with serving(workers=1, batching={"digits": Bounds(8)}) as world:
        world.runs(Picky(None, gate))
        world.ask(0)
        until(lambda: gate.inside == 1)
        good, bad, fine = world.ask(1), world.ask(2), world.ask(1)
        gate.open()
        assert good.wait() and good.labels == [1]
        assert isinstance(bad.wait()[0], InferenceFailed)
        assert fine.wait() and fine.labels == [1]
    assert world.slot("digits").health().errors == 1


def test_a_model_that_mixes_rows_is_not_batched_for_long():
    class Summing(FakeSession):
        def run(self, inputs):
            return {"scores": super().run(inputs)["scores"].sum(axis=0, keepdims=True)}

    gate = Gate()
    with serving(workers=1, batching={"digits": Bounds(8)}) as world:
        session = Summing(None, gate)
        world.runs(session)
        world.ask(0)
        until(lambda: gate.inside == 1)
        several = [world.ask(label) for label in (1, 2)]
        gate.open()
        assert [one.wait() and one.labels for one in several] == [[1], [2]]
        assert session.batches == [1, 2, 1, 1]
