"""Whatever comes between, each is answered with its own numbers by the version that is live, and is counted once."""

import json
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.releases import a_manifest
from tests.fakes.sessions import BindingSession, FakeSession, serving
from tests.fakes.waiting import until
from tests.fakes.wire import request, served

SHADOW = "digits@shadow"
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


def asking(rows: int, label: int) -> bytes:
    parameters = {"binary_data_size": 16 * rows}
    tensor = {"name": "image", "datatype": "FP32", "shape": [rows, 4], "parameters": parameters}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    body = header + np.full((rows, 4), label, np.float32).tobytes()
    return request("POST", "/v2/models/digits/infer", body, f"Inference-Header-Content-Length: {len(header)}")


def test_each_is_answered_with_its_own_numbers_by_the_version_that_is_live(tmp_path):
    with serving() as world, served(world.engine, tmp_path, connections_max=1000) as server:
        live, bound_runs = 1, 0

        def goes_live(version: int) -> Telling:
            session = Telling(version)
            world.runs(session, a_manifest(version), reopen=lambda: Telling(version))
            return session

        @settings(max_examples=30)
        @given(sequences)
        def check(sequence):
            nonlocal live, bound_runs
            wire, expected, session = server.wire(), Counter(), goes_live(live)
            for several, (what, version) in sequence:
                for rows, label in several:
                    wire.send(asking(rows, label))
                    reply = wire.reply()
                    assert reply.json["model_version"] == str(live)
                    scores = reply.tensor("scores").tolist()
                    given_rows = 2 * rows if session.twice and not session.closed else rows
                    assert scores == (np.eye(3)[[label] * given_rows] * live).tolist()
                    expected[live] += given_rows
                bound_runs += session.bound_runs
                match what:
                    case "switch":
                        live = version
                        session = goes_live(version)
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
            wire.close()

        check()
        assert bound_runs, "none was answered out of memory that was bound"
