"""gRPC asks the same engine, and is told the same."""

import socket
import threading
from types import SimpleNamespace

import grpc
import numpy as np
import pytest

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving.budget import Budget
from edge_agent.serving.port import Overloaded
from edge_agent.serving.regions import Regions
from edge_agent.serving.rpc.messages import MESSAGES
from edge_agent.serving.rpc.server import RpcServer
from edge_agent.serving.rpc.service import SERVICE
from edge_agent.serving.statistics import Batches, Counted
from fleet_contract.manifest import Tensor
from tests.fakes.engine import FakeEngine, takes
from tests.fakes.waiting import until

NUMBERS = np.arange(4, dtype="<f4").reshape(1, 4)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def engine():
    return FakeEngine(
        takes("digits", Tensor("image", "FP32", (-1, 4)), version=3),
        *(takes(kind.lower(), Tensor("x", kind, (-1,))) for kind in ("UINT8", "INT64", "BYTES", "BOOL", "FP16")),
    )


@pytest.fixture(scope="module")
def budget():
    return Budget(1 << 20)


@pytest.fixture(scope="module")
def server(engine, budget, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shm")
    (folder / "tensors").write_bytes(NUMBERS.tobytes() + bytes(16))
    port = free_port()
    running = RpcServer(engine, Regions(folder), port=port, calls_max=4, message_max_bytes=1 << 20, budget=budget)
    stop = threading.Event()
    thread = threading.Thread(target=running.run, args=(stop,))
    thread.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(10)
        yield SimpleNamespace(channel=channel, port=port, folder=folder)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture
def ask(server, engine):
    engine.fails = None
    engine.holds = False
    engine.unready.clear()

    def asked(call, request="", response="", **fields):
        method = server.channel.unary_unary(
            f"/{SERVICE}/{call}",
            request_serializer=MESSAGES[request or f"{call}Request"].SerializeToString,
            response_deserializer=MESSAGES[response or f"{call}Response"].FromString,
        )
        return method(MESSAGES[request or f"{call}Request"](**fields), timeout=10)

    return asked


def infer(ask, model="digits", raw=(), outputs=(), **tensor):
    given = {"name": "image", "datatype": "FP32", "shape": [1, 4], **tensor}
    return ask("ModelInfer", model_name=model, inputs=[given], raw_input_contents=raw, outputs=outputs)


def refused(ask, *args, **kwargs) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        infer(ask, *args, **kwargs)
    return error.value.code(), error.value.details()


def test_health_and_documents_are_those_of_http(ask, engine, monkeypatch):
    assert ask("ServerLive").live
    assert ask("ServerReady").ready
    assert ask("ServerMetadata").name == "vedette"
    assert ask("ModelMetadata", name="digits").inputs[0].shape == [-1, 4]
    assert ask("ModelConfig", name="digits", version="3").config.input[0].data_type == 11
    assert ask("ModelStatistics", name="digits").model_stats[0].version == "3"
    monkeypatch.setattr(engine, "statistics", lambda _: {3: Counted(batches={4: Batches(2, 10, 20, 30)})})
    (batch,) = ask("ModelStatistics", name="digits").model_stats[0].batch_stats
    assert (batch.batch_size, batch.compute_infer.count, batch.compute_infer.ns, batch.compute_output.ns) == (
        4,
        2,
        20,
        30,
    )
    assert ask("RepositoryIndex").models[0].state == "READY"
    engine.unready.add("digits")
    assert not ask("ServerReady").ready
    assert not ask("ModelReady", name="digits").ready
    assert not ask("ModelReady", name="none").ready


def test_raw_tensors_go_in_and_out(ask):
    response = infer(ask, raw=[NUMBERS.tobytes()])
    assert (response.model_name, response.model_version) == ("digits", "3")
    assert np.frombuffer(response.raw_output_contents[0], "<f4").tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("model", "datatype", "contents", "raw"),
    [
        ("uint8", "UINT8", {"uint_contents": [1, 127]}, b"\x02\xfe"),
        ("int64", "INT64", {"int64_contents": [-(2**60), 1]}, np.array([-(2**61), 2]).tobytes()),
        ("bytes", "BYTES", {"bytes_contents": [b"a", b"\xff"]}, b"\x01\0\0\0a\x01\0\0\0\xff"),
        ("bool", "BOOL", {"bool_contents": [True, False]}, b"\x01\0"),
    ],
)
def test_lists_go_in(ask, model, datatype, contents, raw):
    response = infer(ask, model, name="x", datatype=datatype, shape=[2], contents=contents)
    assert response.raw_output_contents[0] == raw


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"raw": [b"123"]}, "'image'"),
        ({"raw": [NUMBERS.tobytes()] * 2}, "more raw_input_contents"),
        ({"name": "other", "raw": [NUMBERS.tobytes()]}, "'image' is missing"),
        ({"contents": {"fp32_contents": [1]}}, "'image' has 1 elements"),
        ({}, "'image' has 0 elements"),
        ({"datatype": "FP16", "contents": {}}, "'image': FP16 has no list"),
        ({"datatype": "UINT8", "contents": {"uint_contents": [256, 0, 0, 0]}}, "'image'"),
        ({"datatype": "BF16"}, "'image': no model here takes BF16"),
        ({"shape": [-1]}, "'image'"),
    ],
)
def test_a_wrong_tensor_is_named(ask, given, words):
    status, told = refused(ask, **given)
    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert words in told


@pytest.mark.parametrize(
    ("fails", "status"),
    [
        (Overloaded("64 requests wait already."), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (InferenceFailed("The model could not answer."), grpc.StatusCode.INTERNAL),
    ],
)
def test_what_the_engine_refuses_has_a_status_of_its_own(ask, engine, fails, status):
    engine.fails = fails
    assert refused(ask, raw=[NUMBERS.tobytes()]) == (status, fails.what)
    engine.fails = None
    assert refused(ask, "none", raw=[NUMBERS.tobytes()])[0] is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as error:
        infer(ask, "none", raw=[NUMBERS.tobytes()])
    assert ("code", "model-unknown") in {(one.key, one.value) for one in error.value.trailing_metadata()}


def test_an_engine_that_breaks_its_promise_is_logged_and_not_told(ask, engine, caplog, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(engine, "submit", broken)
    status, told = refused(ask, raw=[NUMBERS.tobytes()])
    assert status is grpc.StatusCode.INTERNAL
    assert "secret" not in told
    assert "a secret" in caplog.text


def test_tensors_can_stay_in_shared_memory(ask, server):
    register = {"name": "r", "key": "/tensors", "byte_size": 32}
    ask("SystemSharedMemoryRegister", response="Nothing", **register)
    status = ask("SystemSharedMemoryStatus", "SharedMemoryRequest", name="r")
    assert [(one.key, one.value.byte_size) for one in status.regions] == [("r", 32)]
    where = [
        {"key": "shared_memory_region", "value": {"string_param": "r"}},
        {"key": "shared_memory_byte_size", "value": {"int64_param": 16}},
    ]
    there = [*where, {"key": "shared_memory_offset", "value": {"int64_param": 16}}]
    response = infer(ask, parameters=where, outputs=[{"name": "image_out", "parameters": there}])
    assert not response.raw_output_contents
    assert np.frombuffer((server.folder / "tensors").read_bytes()[16:], "<f4").tolist() == [0, 2, 4, 6]
    ask("SystemSharedMemoryUnregister", "SharedMemoryRequest", "Nothing")
    assert refused(ask, parameters=where)[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_what_is_not_offered_is_said(ask):
    for call in ("RepositoryModelLoad", "CudaSharedMemoryRegister"):
        with pytest.raises(grpc.RpcError) as error:
            ask(call, "SharedMemoryRequest" if call.startswith("Cuda") else "Nothing", "Nothing")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_client_that_gives_up_calls_its_request_off(server, engine):
    engine.fails, engine.holds = None, True
    engine.held.clear()
    engine.tickets.clear()
    method = server.channel.unary_unary(f"/{SERVICE}/ModelInfer")
    given = {"name": "image", "datatype": "FP32", "shape": [1, 4]}
    message = MESSAGES["ModelInferRequest"](model_name="digits", inputs=[given], raw_input_contents=[NUMBERS.tobytes()])
    call = method.future(message.SerializeToString())
    until(lambda: engine.held)
    call.cancel()
    assert engine.tickets[0].cancelled.wait(60)
    engine.holds = False


def test_who_asks_while_others_fill_the_memory_is_to_come_again(ask, budget):
    # What the call before has reserved may be given back only now.
    until(lambda: budget.reserve((1 << 20) - 10))
    with pytest.raises(grpc.RpcError) as error:
        infer(ask, shape=[2048, 4], raw=[bytes(32_768)])
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ("code", "overloaded") in [(one.key, one.value) for one in error.value.trailing_metadata()]
    budget.reserve(10 - (1 << 20))
    for _ in range(3):
        infer(ask, raw=[NUMBERS.tobytes()])
    with pytest.raises(grpc.RpcError):
        infer(ask, raw=[NUMBERS.tobytes()], shape=[7])
    until(lambda: budget.reserve(1 << 20))
    budget.reserve(-(1 << 20))


def test_a_message_that_is_as_large_as_all_may_be_is_answered_alone(ask, budget):
    rows = (1 << 20) // 16
    told = infer(ask, shape=[rows, 4], raw=[bytes(1 << 20)])
    assert len(told.raw_output_contents[0]) == 1 << 20
    until(lambda: budget.reserve(1 << 20))
    budget.reserve(-(1 << 20))


def test_a_list_that_unpacks_to_more_than_is_left_is_refused(ask, monkeypatch):
    monkeypatch.setattr("edge_agent.serving.budget.left_bytes", lambda _: 0)
    with pytest.raises(grpc.RpcError, match="too few for 110000 elements in lists") as error:
        infer(
            ask, model="bool", name="x", datatype="BOOL", shape=[110_000], contents={"bool_contents": [True] * 110_000}
        )
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_port_that_is_taken_is_told(engine, server):
    second = RpcServer(engine, Regions(), port=server.port, calls_max=1, message_max_bytes=1024, budget=Budget(1024))
    stop = threading.Event()
    thread = threading.Thread(target=second.run, args=(stop,))
    thread.start()
    until(lambda: second.trouble)
    assert str(server.port) in second.trouble.sentence
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
