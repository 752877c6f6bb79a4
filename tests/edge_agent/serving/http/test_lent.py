"""A request that a client sends again and again with its tensors in shared memory is answered as any other, in few
steps."""

import gzip
import json

import numpy as np
import pytest

from edge_agent.runtimes.session import InferenceFailed
from fleet_contract.manifest import Tensor
from tests.fakes.engine import FakeEngine, image_model, takes
from tests.fakes.waiting import until
from tests.fakes.wire import request, served

PLACE = {"shared_memory_region": "r", "shared_memory_byte_size": 16}
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 4], "parameters": PLACE}
TAKEN = {"name": "image_out", "parameters": {**PLACE, "shared_memory_offset": 64}}
ASKED = {"inputs": [IMAGE], "outputs": [TAKEN]}


class Memory:
    """What the client and the server both see."""

    def __init__(self, folder, name="tensors"):
        self.path = folder / name
        self.path.write_bytes(bytes(128))

    def holds(self, value, offset=0, dtype="<f4"):
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(np.full(4, value, dtype).tobytes())

    def value(self, offset=64):
        (found,) = set(np.frombuffer(self.path.read_bytes(), "<f4", 4, offset).tolist())
        return found


@pytest.fixture
def engine():
    return image_model()


@pytest.fixture
def server(engine, tmp_path):
    (tmp_path / "shm").mkdir()
    with served(engine, tmp_path, shared_memory=tmp_path / "shm") as running:
        yield running


@pytest.fixture
def memory(server, tmp_path):
    return Memory(tmp_path / "shm")


@pytest.fixture
def wire(server, memory):
    wire = server.wire()
    register(wire)
    return wire


def register(wire, key="tensors", offset=0):
    where = {"key": f"/{key}", "offset": offset, "byte_size": 128 - offset}
    assert wire.post("/v2/systemsharedmemory/region/r/register", where).status == 200


def used(wire, memory, asked=ASKED):
    """`wire`, on which `asked` has become the usual request."""
    memory.holds(1)
    for _ in range(3):
        assert wire.infer(asked).status == 200
    return wire


def test_what_came_twice_is_answered_at_once_each_with_what_lies_there_then(wire, memory, engine):
    answers = set()
    for value in range(10):
        memory.holds(value)
        answers.add(wire.infer(ASKED).body)
        assert memory.value() == 2 * value
    assert (len(engine.calls), engine.at_once) == (2, 8)
    assert len(answers) == 1, "it is told in the same words as by the long way"
    until(lambda: engine.sent == 8)


def test_a_client_that_says_where_its_json_ends_is_known_as_well(wire, memory, engine):
    body = json.dumps(ASKED).encode()
    for value in range(5):
        memory.holds(value)
        wire.ask("POST", "/v2/models/digits/infer", body, f"Inference-Header-Content-Length: {len(body)}")
        assert memory.value() == 2 * value
    assert engine.at_once == 3


@pytest.mark.parametrize("how", [{}, {"parameters": {"binary_data_output": True}}])
def test_what_goes_back_in_the_body_is_told_anew_each_time(wire, memory, engine, how):
    for value in range(5):
        memory.holds(value)
        reply = wire.infer({"inputs": [IMAGE], **how})
        said = reply.tensor("image_out") if how else np.array(reply.json["outputs"][0]["data"])
        assert set(said.ravel().tolist()) == {2 * value}
    assert engine.at_once == 3


def test_a_region_that_is_unregistered_is_missed_by_the_next_request(wire, memory, engine):
    used(wire, memory)
    before = engine.at_once
    wire.post("/v2/systemsharedmemory/region/r/unregister", {})
    for _ in range(3):
        reply = wire.infer(ASKED)
        assert reply.status == 400
        assert "No shared memory region 'r'" in reply.error
    assert engine.at_once == before
    register(wire)
    memory.holds(5)
    assert wire.infer(ASKED).status == 200
    assert memory.value() == 10


def test_a_region_that_is_registered_anew_is_read_and_written_where_it_is_then(wire, memory, engine, tmp_path):
    used(wire, memory)
    other = Memory(tmp_path / "shm", "other")
    other.holds(7, offset=16)
    wire.post("/v2/systemsharedmemory/region/r/unregister", {})
    register(wire, "other", offset=16)
    before = engine.at_once
    assert wire.infer(ASKED).status == 200
    assert engine.at_once == before + 1
    assert (other.value(16 + 64), memory.value()) == (14, 2)


def test_memory_that_was_shortened_is_told_and_ends_nothing(wire, memory, engine):
    used(wire, memory)
    before = engine.at_once
    with memory.path.open("r+b") as file:
        file.truncate(8)
    reply = wire.infer(ASKED)
    assert reply.status == 400
    assert "is shorter than region 'r' says" in reply.error
    assert engine.at_once == before, "nothing is computed of half a tensor"
    with memory.path.open("r+b") as file:
        file.truncate(64)
    reply = wire.infer(ASKED)
    assert (reply.status, memory.path.stat().st_size) == (400, 64)
    assert "is shorter than region 'r' says" in reply.error
    with memory.path.open("r+b") as file:
        file.truncate(128)
    memory.holds(6)
    assert wire.infer(ASKED).status == 200
    assert memory.value() == 12


def test_what_the_engine_keeps_of_one_request_is_not_written_to_by_the_next(wire, memory, engine):
    kept = []

    def compute(inputs):
        kept.append(inputs["image"])
        return {"image_out": inputs["image"] * 2}

    engine.compute = compute
    for value in range(6):
        memory.holds(value)
        wire.infer(ASKED)
    assert engine.at_once == 4
    # The second is looked at twice, to see whether it can be asked so.
    assert [float(one[0, 0]) for one in kept] == [0, 1, 1, 2, 3, 4, 5]


def test_nothing_is_fetched_for_an_engine_that_will_not_answer_at_once(wire, memory, engine, server, monkeypatch):
    used(wire, memory)
    read, fetched = server.regions.read_into, []
    monkeypatch.setattr(server.regions, "read_into", lambda *given: (fetched.append(given[1]), read(*given)))
    engine.holds = True
    wire.send(request("POST", "/v2/models/digits/infer", json.dumps(ASKED).encode()))
    until(lambda: engine.held)
    assert fetched == ["image"]
    engine.held.pop()()
    assert wire.reply().status == 200


def test_another_version_answers_in_its_own_name(wire, memory, engine):
    used(wire, memory)
    engine._manifests["digits"] = takes("digits", Tensor("image", "FP32", (-1, 4)), version=2)
    for value in range(4):
        memory.holds(value)
        assert wire.infer(ASKED).json["model_version"] == "2"
        assert memory.value() == 2 * value


def test_an_answer_in_another_form_is_told_in_that_or_does_not_fit(wire, memory, engine):
    used(wire, memory)
    for sides, status in (((4, 1), 200), ((2, 2), 200), ((1, 4), 200)):
        engine.compute = lambda inputs, sides=sides: {"image_out": (inputs["image"] * 2).reshape(sides)}
        reply = wire.infer(ASKED)
        assert reply.status == status
        assert reply.json["outputs"][0]["shape"] == list(sides)
    engine.compute = lambda inputs: {"image_out": np.repeat(inputs["image"], 2, axis=0)}
    reply = wire.infer(ASKED)
    assert reply.status == 400
    assert "'image_out'" in reply.error


def test_a_failure_is_told_and_the_next_is_answered(wire, memory, engine):
    used(wire, memory)
    engine.fails = InferenceFailed("The model could not.")
    for _ in range(3):
        reply = wire.infer(ASKED)
        assert reply.status == 500
        assert "could not" in reply.error
    engine.fails = None
    memory.holds(6)
    wire.infer(ASKED)
    assert memory.value() == 12


def test_another_request_is_not_taken_for_it(wire, memory, engine):
    used(wire, memory)
    before = engine.at_once
    memory.holds(3)
    memory.holds(9, offset=16)
    beside = {**IMAGE, "parameters": {**PLACE, "shared_memory_offset": 16}}
    wire.infer({**ASKED, "inputs": [beside]})
    assert memory.value() == 18
    # One more behind it is not lost.
    whole = request("POST", "/v2/models/digits/infer", json.dumps(ASKED).encode())
    wire.send(whole + whole[:40])
    assert wire.reply().status == 200
    wire.send(whole[40:])
    assert wire.reply().status == 200
    assert memory.value() == 6
    assert engine.at_once == before


def test_several_tensors_come_each_from_its_place(tmp_path):
    engine = FakeEngine(takes("digits", Tensor("left", "INT64", (-1,)), Tensor("right", "INT64", (-1,))))
    engine.compute = lambda given: {"left_out": given["left"] - given["right"], "right_out": given["right"]}
    (tmp_path / "shm").mkdir()
    memory = Memory(tmp_path / "shm")

    def at(name, offset):
        place = {"shared_memory_region": "r", "shared_memory_byte_size": 32, "shared_memory_offset": offset}
        return {"name": name, "datatype": "INT64", "shape": [4], "parameters": place}

    with served(engine, tmp_path, shared_memory=tmp_path / "shm") as server:
        wire = server.wire()
        register(wire)
        for value in range(5):
            memory.holds(value, 64, "<i8")
            memory.holds(10, 0, "<i8")
            # Not in the order in which they lie.
            reply = wire.infer({"inputs": [at("left", 64), at("right", 0)], "outputs": [{"name": "left_out"}]})
            assert reply.json["outputs"][0]["data"] == [value - 10] * 4
    assert engine.at_once == 3


def test_what_else_is_sent_twice_is_looked_at_each_time(wire, memory, engine):
    numbers = {"inputs": [{**IMAGE, "parameters": {}, "data": [1, 2, 3, 4]}]}
    packed = gzip.compress(json.dumps(ASKED).encode(), mtime=0)
    memory.holds(4)
    for _ in range(4):
        assert wire.infer(numbers).json["outputs"][0]["data"] == [2, 4, 6, 8]
    for _ in range(4):
        assert wire.ask("POST", "/v2/models/digits/infer", packed, "Content-Encoding: gzip").status == 200
        assert memory.value() == 8
    assert engine.at_once == 0


def test_tensors_here_and_there_are_looked_at_each_time(tmp_path):
    engine = FakeEngine(takes("digits", Tensor("left", "INT64", (-1,)), Tensor("right", "BYTES", (-1,))))
    (tmp_path / "shm").mkdir()
    memory = Memory(tmp_path / "shm")
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 32}
    left = {"name": "left", "datatype": "INT64", "shape": [4], "parameters": place}
    right = {"name": "right", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    with served(engine, tmp_path, shared_memory=tmp_path / "shm") as server:
        wire = server.wire()
        register(wire)
        for value in range(4):
            memory.holds(value, 0, "<i8")
            assert wire.infer({"inputs": [left, right]}).json["outputs"][0]["data"] == [2 * value] * 4
    assert engine.at_once == 0
