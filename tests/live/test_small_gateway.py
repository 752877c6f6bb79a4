"""A gateway of 256 MB whose applications send all that they may at once: it answers, or says when to come again."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.nets import NETS
from benchmarks.standalone import StandaloneAgent, build_of
from tests.fakes.memory_group import memory_group
from tests.fakes.waiting import until
from tests.fakes.wire import Wire, request

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
MEBIBYTE = 1024 * 1024
CLIENTS = 4
NET = NETS[0]
INFER = f"/v2/models/{NET.name}/infer"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[StandaloneAgent]:
    with memory_group(256 * MEBIBYTE) as group:
        agent = StandaloneAgent(tmp_path, [build_of(NET)])
        try:
            (group / "cgroup.procs").write_text(str(agent.process.pid))
            agent.until_serving(240)
            until(lambda: is_ready(agent))
            yield agent
        finally:
            agent.stop()


def connect(agent: StandaloneAgent) -> Wire:
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(240)
    connected.connect(str(agent.socket))
    return Wire(connected)


def is_ready(agent: StandaloneAgent) -> bool:
    return connect(agent).get("/v2/health/ready").status == 200


def given(rows: int, **more: object) -> dict[str, object]:
    return {"name": "x", "datatype": "FP32", "shape": [rows, *NET.shape], **more}


def binary(size: int, *, as_binary: bool = True) -> bytes:
    rows = size // NET.input_bytes
    tensor = given(rows, parameters={"binary_data_size": rows * NET.input_bytes})
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": as_binary}}).encode()
    body = text + bytes(rows * NET.input_bytes)
    return request("POST", INFER, body, f"Inference-Header-Content-Length: {len(text)}")


def numbers(count: int) -> bytes:
    rows = count // NET.shape[0]
    content = {"inputs": [given(rows, data=[1] * (rows * NET.shape[0]))]}
    return request("POST", INFER, json.dumps(content, separators=(",", ":")).encode())


def statuses(agent: StandaloneAgent, message: bytes) -> list[int]:
    """What each of the clients is told, who all have sent most of it before any sends the rest."""
    told: list[int] = []
    most_is_sent = threading.Barrier(CLIENTS)

    def client() -> None:
        wire = connect(agent)
        try:
            wire.send(message[:-1000])
        except OSError:
            # It was refused meanwhile, and is told why.
            most_is_sent.wait(240)
        else:
            most_is_sent.wait(240)
            wire.send(message[-1000:])
        told.append(wire.reply().status)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    return sorted(told)


def test_it_answers_what_it_has_memory_for_refuses_the_rest_and_lives(agent: StandaloneAgent) -> None:
    for message, status in (
        (binary(31 * MEBIBYTE), 200),
        (binary(31 * MEBIBYTE, as_binary=False), 413),
        (binary(63 * MEBIBYTE), 413),
        (numbers(4_000_000), 413),
        (numbers(1_500_000), 200),
    ):
        told = statuses(agent, message)
        assert len(told) == CLIENTS
        # What it is at work with for telemetry is still there for a moment.
        assert set(told) <= {status, 503}
        until(lambda message=message, status=status: status in statuses(agent, message))
    assert agent.process.poll() is None
    assert is_ready(agent)
