"""What every runtime does behind the session port: ONNX Runtime and LiteRT are equals."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent import memory
from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes import open_session
from edge_agent.runtimes.session import InferenceFailed, Session
from edge_agent.update.footprint import resident_bytes
from fleet_contract.manifest import Tensor
from tests.edge_agent.runtimes.files import DTYPES, RUNTIMES, model

NUMPY = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"}
FEATURES, CLASSES = 4, 3
WEIGHTS = np.random.default_rng(1).normal(size=(FEATURES, CLASSES)).astype(np.float32)

Open = Callable[[str], Session]


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def opened(runtime: str, tmp_path: Path) -> Iterator[Open]:
    sessions: list[Session] = []

    def open_it(name: str) -> Session:
        path = tmp_path / name
        path.write_bytes(model(runtime, name))
        sessions.append(open_session(runtime, path))
        return sessions[-1]

    yield open_it
    for session in sessions:
        session.close()


def images(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, FEATURES)).astype(np.float32)


def test_names_what_it_takes_and_gives_in_the_contracts_words(opened: Open) -> None:
    session = opened("linear")
    assert session.inputs == (Tensor("image", "FP32", (-1, FEATURES)),)
    assert session.outputs == (Tensor("scores", "FP32", (-1, CLASSES)),)


def test_a_fixed_batch_is_no_free_dimension(opened: Open) -> None:
    session = opened("linear-of-2")
    assert session.inputs == (Tensor("image", "FP32", (2, FEATURES)),)
    assert session.run({"image": images(2)})["scores"].shape == (2, CLASSES)
    with pytest.raises(InferenceFailed):
        session.run({"image": images(3)})


def test_the_batch_grows_and_shrinks_from_one_run_to_the_next(opened: Open) -> None:
    session = opened("linear")
    for rows in (1, 7, 7, 2, 64, 1):
        image = images(rows, seed=rows)
        np.testing.assert_allclose(session.run({"image": image})["scores"], image @ WEIGHTS, rtol=1e-4, atol=1e-5)


def test_what_a_large_batch_has_needed_is_given_back(opened: Open) -> None:
    session = opened("linear")
    few, many = images(1), np.ones((4_000_000, FEATURES), np.float32)
    expected = session.run({"image": few})["scores"]
    memory.give_back()
    before = resident_bytes()
    session.run({"image": many})
    memory.give_back()
    # Of 112 MB that go in and out, the outputs may stay.
    assert resident_bytes() - before < 80 * 1024 * 1024
    np.testing.assert_array_equal(session.run({"image": few})["scores"], expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_of_the_protocol_comes_back_as_it_went_in(opened: Open, dtype: str) -> None:
    session = opened(f"echo-{dtype}")
    assert session.inputs == (Tensor("x", dtype, (-1, 2)),)
    assert session.outputs == (Tensor("y", dtype, (-1, 2)),)
    kind = np.dtype(NUMPY.get(dtype, dtype.lower()))
    match kind.kind:
        case "b":
            bounds = [False, True]
        case "f":
            bounds = [np.finfo(kind).min, np.nan]
        case _:
            bounds = [np.iinfo(kind).min, np.iinfo(kind).max]
    for x in (np.array([bounds], dtype=kind), np.array([bounds[::-1], bounds, bounds], dtype=kind)):
        y = session.run({"x": x})["y"]
        assert y.dtype == kind
        np.testing.assert_array_equal(y, x)


def test_strings_come_back_as_bytes_however_they_went_in(opened: Open) -> None:
    session = opened("echo-BYTES")
    assert session.inputs == (Tensor("x", "BYTES", (-1, 2)),)
    for x in (
        np.array([["é", ""], ["b", "a longer one than that"]], dtype=object),
        np.array([["é".encode(), b""]], dtype=object),
        np.array([[b"a", b"bc"], [b"", b"d"], [b"e", b"f"]]),
        np.array([["é", "bc"]]),
    ):
        y = session.run({"x": x})["y"]
        assert y.shape == x.shape
        assert [one for row in y.tolist() for one in row] == [
            one if isinstance(one, bytes) else one.encode() for row in x.tolist() for one in row
        ]


def test_a_string_tensor_of_something_else_is_the_callers_fault(opened: Open) -> None:
    session = opened("echo-BYTES")
    with pytest.raises(InferenceFailed, match="int"):
        session.run({"x": np.array([["a", 3]], dtype=object)})
    assert session.run({"x": np.array([["a", "b"]])})["y"].tolist() == [[b"a", b"b"]]


@pytest.mark.parametrize(
    "inputs",
    [
        {"image": np.zeros((1, FEATURES + 1), dtype=np.float32)},
        {"image": np.zeros((1, FEATURES), dtype=np.float64)},
        {"image": np.zeros((FEATURES,), dtype=np.float32)},
        {"image": np.zeros((1, 1, FEATURES), dtype=np.float32)},
        {"image": np.full((1, FEATURES), "a", dtype=object)},
        {"picture": np.zeros((1, FEATURES), dtype=np.float32)},
        {"image": images(1), "picture": images(1)},
        {},
    ],
)
def test_inputs_that_it_cannot_take_leave_it_answering_others(opened: Open, inputs: dict[str, np.ndarray]) -> None:
    session = opened("linear")
    before = session.run({"image": images(5)})["scores"]
    with pytest.raises(InferenceFailed):
        session.run(inputs)
    np.testing.assert_array_equal(session.run({"image": images(5)})["scores"], before)


def test_a_run_that_fails_inside_the_model_leaves_it_answering_others(opened: Open) -> None:
    session = opened("lookup")
    for _ in range(3):
        with pytest.raises(InferenceFailed):
            session.run({"index": np.array([1, 9], dtype=np.int32)})
        row = session.run({"index": np.array([2, 0, 1], dtype=np.int32)})["row"]
        np.testing.assert_array_equal(row, [[4, 5], [0, 1], [2, 3]])


def test_inputs_need_not_lie_in_one_piece(opened: Open) -> None:
    session = opened("linear")
    image = images(8)
    np.testing.assert_array_equal(
        session.run({"image": image[::2]})["scores"], session.run({"image": image[::2].copy()})["scores"]
    )
    sideways = np.asfortranarray(image)
    np.testing.assert_allclose(session.run({"image": sideways})["scores"], image @ WEIGHTS, rtol=1e-4, atol=1e-5)


def test_inputs_that_may_not_be_written_are_taken(opened: Open) -> None:
    session = opened("linear")
    image = np.frombuffer(images(2).tobytes(), dtype=np.float32).reshape(2, FEATURES)
    np.testing.assert_allclose(session.run({"image": image})["scores"], image @ WEIGHTS, rtol=1e-4, atol=1e-5)


def test_an_answer_stays_what_it_was(opened: Open) -> None:
    session = opened("linear")
    first = session.run({"image": images(2, seed=1)})["scores"]
    kept = first.copy()
    session.run({"image": images(2, seed=2)})
    np.testing.assert_array_equal(first, kept)
    session.close()
    np.testing.assert_array_equal(first, kept)
    opened("linear")


def test_it_answers_several_threads_at_once_each_with_its_own(opened: Open) -> None:
    session = opened("linear")
    wrong: list[str] = []

    def ask(seed: int) -> None:
        image = images(1 + seed % 4, seed)
        for _ in range(200):
            scores = session.run({"image": image})["scores"]
            if scores.shape != (len(image), CLASSES) or not np.allclose(scores, image @ WEIGHTS, rtol=1e-3, atol=1e-4):
                wrong.append(f"{seed}: {scores}")

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100])
def test_half_a_file_is_unreadable(runtime: str, tmp_path: Path, length: int) -> None:
    path = tmp_path / "model"
    path.write_bytes(model(runtime, "linear")[:length])
    with pytest.raises(ArtifactRejected) as caught:
        open_session(runtime, path)
    assert caught.value.code == "model-unreadable"


@pytest.mark.parametrize("data", [b"GIF89a", b"\x00" * 4096, b"\xff" * 4096])
def test_what_is_no_model_is_unreadable(runtime: str, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model"
    path.write_bytes(data)
    with pytest.raises(ArtifactRejected) as caught:
        open_session(runtime, path)
    assert caught.value.code == "model-unreadable"


def test_a_file_that_is_not_there_is_unreadable(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRejected) as caught:
        open_session(runtime, tmp_path / "none")
    assert caught.value.code == "model-unreadable"
