"""Whatever comes between, each is answered with its own numbers by the version that is live, and is counted once."""

import itertools
from collections import Counter
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.releases import a_manifest
from tests.fakes.sealed import a_region
from tests.fakes.sessions import BindingSession, FakeSession, serving
from tests.fakes.waiting import until
from tests.fakes.wire import served

SHADOW = "digits@shadow"
#: So many rows are worth being read where they lie.
LARGE = 4096
asks = st.tuples(st.sampled_from([1, 1, 1, 2]), st.sampled_from([0, 1, 2]))
between = st.one_of(
    st.integers(1, 3).map(lambda version: ("switch", version)),
    st.sampled_from([("park", 0), ("shadow", 0), ("no shadow", 0), ("another shape", 0)]),
)
sequences = st.lists(st.tuples(st.lists(asks, min_size=3, max_size=8), between), min_size=1, max_size=6)


class Telling(BindingSession):
    """Its scores tell its version; it may begin to answer with each row twice."""

    twice = False

    def __init__(self, version: int) -> None:
        super().__init__()
        self._version = version

    def run(self, inputs):
        scores = super().run(inputs)["scores"] * self._version
        return {"scores": np.repeat(scores, 2, axis=0) if self.twice else scores}


class InBody:
    """A client that sends its tensors, and gets them, behind the JSON."""

    times = 1

    def __init__(self, wire):
        self._wire = wire

    def ask(self, rows: int, label: int):
        """The version that answered, and its scores."""
        tensor = {
            "name": "image",
            "datatype": "FP32",
            "shape": [rows, 4],
            "parameters": {"binary_data_size": 16 * rows},
        }
        asked = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
        reply = self._wire.infer(asked, np.full((rows, 4), label, np.float32).tobytes())
        return reply.json["model_version"], reply.tensor("scores")


class InLongBody(InBody):
    """One whose requests are long enough to be read for themselves, and short enough to be read in one piece."""

    times = 2000

    def ask(self, rows: int, label: int):
        version, scores = super().ask(rows * self.times, label)
        assert np.ptp(scores, axis=0).max() == 0, "all rows are alike"
        return version, scores[: len(scores) // self.times]


class InSealedMemory:
    """One that both sides see the tensors of; each is written anew, and over what was there."""

    times = LARGE
    OUTPUT_AT = 2 * 16 * LARGE
    _numbers = itertools.count()

    def __init__(self, wire):
        self._wire = wire
        self._name = f"r{next(self._numbers)}"
        self._memory = a_region(wire, self._name, self.OUTPUT_AT + 2 * 24 * LARGE)

    def ask(self, rows: int, label: int):
        rows *= LARGE
        np.frombuffer(self._memory, np.float32, 4 * rows)[:] = label
        given = {"shared_memory_region": self._name, "shared_memory_byte_size": 16 * rows}
        taken = {"shared_memory_region": self._name, "shared_memory_byte_size": 24 * rows}
        taken["shared_memory_offset"] = self.OUTPUT_AT
        tensor = {"name": "image", "datatype": "FP32", "shape": [rows, 4], "parameters": given}
        reply = self._wire.infer({"inputs": [tensor], "outputs": [{"name": "scores", "parameters": taken}]})
        sides = reply.json["outputs"][0]["shape"]
        scores = np.frombuffer(self._memory, np.float32, sides[0] * 3, self.OUTPUT_AT).reshape(sides).copy()
        np.frombuffer(self._memory, np.float32)[:] = np.nan
        assert np.ptp(scores, axis=0).max() == 0, "all rows are alike"
        return reply.json["model_version"], scores[: sides[0] // LARGE]


@pytest.mark.parametrize("way", [InBody, InLongBody, InSealedMemory])
def test_each_is_answered_with_its_own_numbers_by_the_version_that_is_live(tmp_path, way):
    # The memory of those before is there until the server has seen them go.
    bounds = {"connections_max": 1000, "sealed_max_bytes": 1 << 28}
    with serving() as world, served(world.engine, tmp_path, **bounds) as server:
        live, bound_runs = 1, 0

        def goes_live(version: int) -> Telling:
            session = Telling(version)
            world.runs(session, a_manifest(version), reopen=lambda: Telling(version))
            return session

        @settings(max_examples=30)
        @given(sequences)
        def check(sequence):
            with closing(server.wire()) as wire:
                all_answered(way(wire), sequence)

        def all_answered(client, sequence):
            nonlocal live, bound_runs
            expected, session = Counter(), goes_live(live)
            for several, (what, number) in sequence:
                for rows, label in several:
                    version, scores = client.ask(rows, label)
                    assert version == str(live)
                    given_rows = 2 * rows if session.twice and not session.closed else rows
                    assert scores.tolist() == (np.eye(3)[[label] * given_rows] * live).tolist()
                    expected[live] += given_rows * way.times
                bound_runs += session.bound_runs
                match what:
                    case "switch":
                        live = number
                        session = goes_live(number)
                    case "park":
                        world.slot("digits").park()
                    case "shadow":
                        world.runs(FakeSession(1), a_manifest(4), key=SHADOW)
                    case "no shadow":
                        world.slot(SHADOW).switch(None)
                    case "another shape":
                        session.twice = True
            found: Counter[int] = Counter()

            def all_counted() -> bool:
                for one in world.windows():
                    found[one.version] += one.count if one.slot == "default" else 0
                return found.total() >= expected.total()

            until(all_counted)
            assert +found == +expected

        check()
        assert bound_runs, "none was answered out of memory that was bound"
