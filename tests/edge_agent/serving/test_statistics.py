"""What the engine counts of each version, and of each size of batch."""

import time

import pytest

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving.port import ModelUnknown
from edge_agent.serving.statistics import SIZES_KEPT
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import FakeSession, raising, serving


def test_statistics_are_by_version_and_in_nanoseconds():
    with serving() as world:
        world.runs(FakeSession(1, lambda: time.sleep(0.002)), a_manifest(1))
        world.ask(rows=3).wait()
        world.runs(FakeSession(1, raising(InferenceFailed("No."))), a_manifest(2))
        world.ask().wait()
        found = world.engine.statistics("digits")
        assert set(found) == {1, 2}
        assert (found[1].inference_count, found[1].execution_count, found[1].success_count) == (3, 1, 1)
        assert found[1].compute_infer_ns >= 2_000_000
        assert found[1].success_ns >= found[1].compute_infer_ns + found[1].queue_ns
        assert abs(found[1].last_inference_ms - time.time() * 1000) < 60_000
        assert (found[2].fail_count, found[2].success_count) == (1, 0)
        with pytest.raises(ModelUnknown):
            world.engine.statistics("nobody")


def test_sizes_of_batches_are_counted_apart_up_to_a_bound_and_all_of_them_together():
    with serving() as world:
        world.runs(FakeSession(1))
        for rows in range(1, SIZES_KEPT + 11):
            world.ask(rows=rows).wait()
        found = world.engine.statistics("digits")[1]
        assert list(found.batches) == list(range(1, SIZES_KEPT + 1))
        assert found.execution_count == SIZES_KEPT + 10
