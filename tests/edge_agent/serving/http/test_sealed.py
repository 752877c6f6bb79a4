"""Memory that the agent makes for a client: both work in it, nobody can shorten it, and it ends with the connection."""

import errno
import fcntl
import mmap
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_agent.serving import budget, vault
from edge_agent.serving.http.holding import Holding
from edge_agent.serving.sealed import Sealed
from fleet_client.demo.programs import free_port
from fleet_contract.manifest import Tensor
from tests.fakes.engine import FakeEngine, takes
from tests.fakes.sealed import handed_over
from tests.fakes.waiting import until
from tests.fakes.wire import Wire, request, served

ROWS = 4096
INPUT_BYTES = 4 * 4 * ROWS
SIZE = 2 * INPUT_BYTES
LIMIT = 1 << 20


def place(offset=0, size=INPUT_BYTES, region="r"):
    return {"shared_memory_region": region, "shared_memory_byte_size": size, "shared_memory_offset": offset}


def asked(inputs=0, outputs=INPUT_BYTES, dtype="FP32", rows=ROWS, region="r"):
    size = 4 * rows * (8 if dtype.endswith("64") else 4)
    given = {"name": "image", "datatype": dtype, "shape": [rows, 4], "parameters": place(inputs, size, region)}
    return {"inputs": [given], "outputs": [{"name": "image_out", "parameters": place(outputs, size, region)}]}


class Memory:
    """What the agent has made, as its client sees it."""

    def __init__(self, wire: Wire, name: str = "r", size: int = SIZE) -> None:
        self.descriptor = handed_over(wire, name, size)
        self.bytes = mmap.mmap(self.descriptor, size)

    def holds(self, value, offset=0, rows=ROWS, dtype="<f4"):
        np.frombuffer(self.bytes, dtype, 4 * rows, offset)[:] = value

    def value(self, offset=INPUT_BYTES, rows=ROWS, dtype="<f4"):
        (found,) = set(np.frombuffer(self.bytes, dtype, 4 * rows, offset).tolist())
        return found

    @property
    def pages(self):
        return os.fstat(self.descriptor).st_blocks


@pytest.fixture
def engine():
    return FakeEngine(takes("digits", Tensor("image", "FP32", (-1, 4))))


@pytest.fixture
def server(engine, tmp_path):
    (tmp_path / "shm").mkdir()
    with served(engine, tmp_path, shared_memory=tmp_path / "shm", sealed_max_bytes=LIMIT) as running:
        yield running


@pytest.fixture
def wire(server):
    return server.wire()


def wish(wire, size, name="other"):
    return wire.post(f"/v2/systemsharedmemory/region/{name}/create", {"byte_size": size})


def test_both_work_in_it_and_nobody_can_make_it_shorter_or_longer(wire, server):
    memory = Memory(wire)
    assert bytes(memory.bytes) == bytes(SIZE)
    memory.bytes[:4] = b"abcd"
    read = memoryview(bytearray(4))
    server.regions.read_into(read, "image", "r", 0)
    assert bytes(read) == b"abcd"
    server.regions.write(b"efgh", "image", "r", SIZE - 4)
    assert memory.bytes[-4:] == b"efgh"
    for size in (0, SIZE - 1, SIZE + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(memory.descriptor, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(memory.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_models_read_and_write_it_where_it_lies(wire, engine, server, monkeypatch):
    memory, answers = Memory(wire), set()
    for value in range(3):
        memory.holds(value)
        assert wire.infer(asked()).status == 200
    monkeypatch.delattr(type(server.regions), "read_into")
    monkeypatch.delattr(type(server.regions), "write")
    for value in range(3, 10):
        memory.holds(value)
        reply = wire.infer(asked())
        assert reply.status == 200
        answers.add(reply.body)
        assert memory.value() == 2 * value
    assert (engine.in_place, engine.at_once) == (8, 0)
    assert len(answers) == 1, "it is told in the same words as by the long way"
    until(lambda: engine.sent == 8)


def test_what_somebody_is_to_look_at_later_is_copied(wire, engine):
    memory = Memory(wire)
    for value in range(8):
        engine.looks = value % 2 == 0
        memory.holds(value)
        assert wire.infer(asked()).status == 200
        assert memory.value() == 2 * value
    assert (engine.in_place, engine.at_once) == (3, 3)


@pytest.mark.parametrize("dtype", ["INT32", "INT64"])
def test_indices_are_copied_for_a_client_could_change_them_once_they_are_checked(tmp_path, dtype):
    engine = FakeEngine(takes("digits", Tensor("image", dtype, (-1, 4))))
    short = {"INT32": "<i4", "INT64": "<i8"}[dtype]
    with served(engine, tmp_path) as server:
        wire = server.wire()
        memory = Memory(wire, size=2 * SIZE)
        for value in range(5):
            memory.holds(value, dtype=short)
            assert wire.infer(asked(outputs=SIZE, dtype=dtype)).status == 200
            assert memory.value(SIZE, dtype=short) == 2 * value
    assert (engine.in_place, engine.at_once) == (0, 3)


@pytest.mark.parametrize(("inputs", "rows"), [(0, 8), (2, ROWS)])
def test_what_is_small_or_lies_askew_is_copied(wire, engine, inputs, rows):
    memory = Memory(wire, size=2 * SIZE)
    for value in range(5):
        memory.holds(value, inputs, rows)
        wire.infer(asked(inputs=inputs, outputs=SIZE, rows=rows))
        assert memory.value(SIZE, rows) == 2 * value
    assert engine.in_place == 0


def test_nothing_is_written_to_a_place_that_is_none(wire):
    memory = Memory(wire, size=2 * SIZE)
    memory.holds(1)
    for _ in range(4):
        reply = wire.infer(asked(outputs=-2 * INPUT_BYTES))
        assert reply.status == 400
        assert "'image_out'" in reply.error
        assert not any(memory.bytes[INPUT_BYTES:])


def test_outputs_may_go_elsewhere(wire, engine):
    memory = Memory(wire)
    both = {**asked(), "outputs": [{"name": "image_out"}]}
    for value in range(5):
        memory.holds(value)
        assert wire.infer(both).json["outputs"][0]["data"] == [2 * value] * 4 * ROWS
    assert engine.in_place == 3


def test_it_ends_with_the_connection_that_it_was_made_for(server, engine):
    owner, other = server.wire(), server.wire()
    memory = Memory(owner)
    for value in range(4):
        memory.holds(value)
        assert other.infer(asked()).status == 200
    assert engine.in_place == 2
    assert memory.pages
    owner.close()
    until(lambda: server.regions.registered() == [])
    reply = other.infer(asked())
    assert reply.status == 400
    assert "No shared memory region 'r'" in reply.error
    # Nothing is kept for whoever still has it mapped.
    until(lambda: memory.pages == 0)


def test_what_is_unregistered_while_a_model_reads_it_is_no_answer(wire, engine, server, monkeypatch):
    memory, real = Memory(wire), engine.answer
    for _ in range(4):
        memory.holds(1)
        assert wire.infer(asked()).status == 200

    def meanwhile(call):
        # As somebody may by gRPC.
        server.regions.unregister("r")
        return real(call)

    monkeypatch.setattr(engine, "answer", meanwhile)
    reply = wire.infer(asked())
    assert reply.status == 400
    assert "No shared memory region 'r'" in reply.error
    assert engine.sent == engine.in_place == 3


def test_another_of_the_same_name_is_used_in_its_place(wire, engine):
    first = Memory(wire)
    for value in range(4):
        first.holds(value)
        wire.infer(asked())
    assert wire.post("/v2/systemsharedmemory/region/r/unregister", {}).status == 200
    second = Memory(wire)
    second.holds(7)
    for _ in range(2):
        assert wire.infer(asked()).status == 200
        assert second.value() == 14
    assert bytes(first.bytes) == bytes(SIZE)
    assert engine.in_place == 4


def test_one_that_is_smaller_than_it_was_is_told(wire, engine):
    memory = Memory(wire)
    for value in range(4):
        memory.holds(value)
        wire.infer(asked())
    wire.post("/v2/systemsharedmemory/region/r/unregister", {})
    Memory(wire, size=SIZE - 1)
    reply = wire.infer(asked())
    assert reply.status == 400
    assert "'image_out'" in reply.error


def test_a_name_that_others_have_taken_since_stays_theirs(server):
    owner, other = server.wire(), server.wire()
    Memory(owner)
    other.post("/v2/systemsharedmemory/region/r/unregister", {})
    Memory(other)
    owner.close()
    until(lambda: len(server.server._connections) == 1)
    assert [one.name for one in server.regions.registered()] == ["r"]


class Slow:
    """Memory that is not made before `go`."""

    def __init__(self, monkeypatch):
        self.go, self.begun = threading.Event(), threading.Semaphore(0)
        monkeypatch.setattr(vault, "Sealed", self._made)

    def _made(self, size):
        self.begun.release()
        assert self.go.wait(60)
        return Sealed(size)


def ask_for(wire, size=LIMIT, name="r"):
    wire.send(request("POST", f"/v2/systemsharedmemory/region/{name}/create", b'{"byte_size": %d}' % size))


def test_while_it_is_made_nobody_else_waits(wire, server, tmp_path, monkeypatch):
    slow, other = Slow(monkeypatch), server.wire()
    (tmp_path / "shm/own").write_bytes(bytes(64))
    ask_for(wire)
    assert slow.begun.acquire(timeout=10)
    assert other.get("/v2/health/live").status == 200
    place = {"key": "own", "offset": 0, "byte_size": 64}
    assert other.post("/v2/systemsharedmemory/region/own/register", place).status == 200
    server.regions.write(b"x", "image", "own", 0)
    assert "registered already" in other.post("/v2/systemsharedmemory/region/r/register", place).error
    slow.go.set()
    assert wire.reply().json["byte_size"] == LIMIT


def test_who_has_left_while_it_was_made_leaves_nothing_behind(server, monkeypatch):
    slow, wire = Slow(monkeypatch), server.wire()
    before = open_files()
    ask_for(wire)
    assert slow.begun.acquire(timeout=10)
    wire.close()
    slow.go.set()
    until(lambda: server.regions.registered() == [] and not server.server._connections)
    until(lambda: open_files() <= before)
    Memory(server.wire(), size=LIMIT)


def test_who_leaves_and_comes_again_at_once_gets_what_it_had(server):
    for _ in range(20):
        wire = server.wire()
        Memory(wire, size=LIMIT)
        wire.close()


def test_also_before_the_loop_has_heard_that_it_has_left(server, monkeypatch):
    wire = server.wire()
    Memory(wire, size=LIMIT)
    (first,) = server.server._connections
    monkeypatch.setattr(first._custody, "_watched", False)
    server.server._loop.forget(first.fileno())
    wire.close()
    Memory(server.wire(), size=LIMIT)


def test_also_while_what_it_had_asked_for_is_still_being_made(server, monkeypatch):
    slow, wire, again = Slow(monkeypatch), server.wire(), server.wire()
    ask_for(wire)
    assert slow.begun.acquire(timeout=10)
    wire.close()
    ask_for(again)
    slow.go.set()
    assert again.reply().status == 200


def test_there_is_a_bound_to_all_together(wire, server):
    Memory(wire, size=LIMIT - 4096)
    reply = wish(wire, 4097)
    assert (reply.status, reply.fields["retry-after"]) == (503, "1")
    assert "sealed memory" in reply.error
    Memory(wire, "other", size=4096)
    wire.post("/v2/systemsharedmemory/region/r/unregister", {})
    Memory(wire, "third", size=4096)


def test_what_the_device_has_not_got_is_not_tried_for_the_kernel_would_end_the_agent(wire, server, monkeypatch):
    tried = []
    with monkeypatch.context() as full:
        full.setattr(budget, "left_bytes", lambda taken: tried.append(taken) or 32 * LIMIT + 4095)
        reply = wish(wire, 4096, "r")
    assert (reply.status, reply.fields["retry-after"]) == (503, "10")
    assert f"{32 * LIMIT + 4095} bytes of memory are left" in reply.error
    assert tried[0] > 10_000_000, "it knows what it takes itself"
    assert server.regions.registered() == []
    Memory(wire, size=LIMIT)


@pytest.mark.parametrize("size", [0, -1, LIMIT + 1, 1 << 62, "much", None])
def test_a_wish_that_cannot_be_granted_is_told(wire, server, size):
    reply = wish(wire, size)
    assert reply.status == 400
    assert server.regions.registered() == []
    Memory(wire)
    reply = wish(wire, 4096, "r")
    assert reply.status == 400
    assert "registered already" in reply.error


@pytest.mark.parametrize("there", ["none", "one"])
def test_that_the_agent_has_too_many_files_open_passes(wire, server, monkeypatch, there):
    before = open_files_of(wire)

    def full(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(*{"none": (os, "memfd_create"), "one": (mmap, "mmap")}[there], full)
        reply = wish(wire, 4096, "r")
    assert reply.status == 503
    assert "Too many open files" in reply.error
    assert (server.regions.registered(), open_files()) == ([], before)
    Memory(wire)


def test_it_keeps_one_file_open(wire, server):
    before = open_files_of(wire)
    for number in range(5):
        os.close(handed_over(wire, f"r{number}", 4096))
    assert open_files_of(wire) == before + 5


def test_over_tcp_it_cannot_be_handed_over_and_is_not_made(engine, tmp_path, monkeypatch):
    port = free_port()
    with served(engine, tmp_path, tcp_port=port) as server:
        monkeypatch.delattr(type(server.regions), "create")
        wire = Wire(socket.create_connection(("127.0.0.1", port), timeout=10))
        reply = wish(wire, 4096)
        assert reply.status == 400
        assert "Unix socket" in reply.error
        assert server.regions.registered() == []
        assert wire.get("/v2/health/live").status == 200
        wire.close()


@pytest.mark.parametrize(
    "ending", [("HTTP/1.1", "HTTP/1.0"), ("Host: localhost", "Host: localhost\r\nConnection: close")]
)
def test_on_a_connection_that_is_closed_at_once_it_could_not_last(server, ending):
    wire = server.wire()
    asks = request("POST", "/v2/systemsharedmemory/region/r/create", b'{"byte_size": 4096}').decode()
    wire.send(asks.replace(*ending).encode())
    reply = wire.reply()
    assert reply.status == 400
    assert "stays open" in reply.error
    assert server.regions.registered() == []
    wire.close()


def test_where_too_many_files_wait_to_be_taken_a_client_is_told_and_keeps_what_it_has(wire, server, monkeypatch):
    memory = Memory(wire)

    def too_many(_):
        raise OSError(errno.ETOOMANYREFS, "Too many references")

    with monkeypatch.context() as full:
        full.setattr(Holding, "ancillary", too_many)
        reply = wish(wire, 4096)
        assert (reply.status, reply.fields["retry-after"]) == (503, "1")
    assert [one.name for one in server.regions.registered()] == ["r"]
    memory.holds(2)
    assert wire.infer(asked()).status == 200
    Memory(wire, "other")


def test_only_system_memory_is_made_and_only_by_post(wire):
    assert wire.post("/v2/cudasharedmemory/region/r/create", {"byte_size": 4096}).status == 404
    assert wire.get("/v2/systemsharedmemory/region/r/create").status == 405
    assert "sealed_shared_memory" in wire.get("/v2").json["extensions"]


def test_what_a_client_makes_and_gives_back_leaves_nothing_behind(server):
    wire, held = server.wire(), []
    Memory(wire)
    before = open_files_of(wire)
    for _ in range(50):
        wire.post("/v2/systemsharedmemory/region/r/unregister", {})
        held.append(Memory(wire))
    assert sum(one.pages * 512 for one in held) <= SIZE, "whatever its client does with what it was"
    for one in held:
        one.bytes.close()
        os.close(one.descriptor)
    assert open_files_of(wire) == before
    assert len(next(iter(server.server._connections))._out._holdings) == 1
    wire.close()
    until(lambda: open_files() < before)


def open_files_of(wire):
    """Once all that its client was answered is behind the server, too."""
    wire.get("/v2/health/live")
    return open_files()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))
