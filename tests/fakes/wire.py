"""The agent's HTTP server on a real socket, and a client that sends just the bytes that it is told to."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.serving.budget import Budget
from edge_agent.serving.http.routes import Routes
from edge_agent.serving.http.server import HttpServer
from edge_agent.serving.port import Engine
from edge_agent.serving.regions import SHARED_MEMORY, Regions


@dataclass(frozen=True)
class Reply:
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        length = self.fields.get("inference-header-content-length")
        return json.loads(self.body[: int(length)] if length else self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])

    def tensor(self, name: str, dtype: str = "<f4") -> np.ndarray[Any, Any]:
        """An output that came as binary."""
        at = int(self.fields["inference-header-content-length"])
        for output in self.json["outputs"]:
            size = output.get("parameters", {}).get("binary_data_size", 0)
            if output["name"] == name:
                return np.frombuffer(self.body[at : at + size], dtype).reshape(output["shape"])
            at += size
        raise KeyError(name)


class Wire:
    """One connection."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._file = connected.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self, *, head: bool = False) -> Reply:
        """The next answer; `head` when it is one to a HEAD."""
        line = self._file.readline()
        if not line:
            raise EOFError
        status = int(line.split()[1])
        fields = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            fields[name.lower()] = value.strip()
        length = 0 if head or status == 100 else int(fields["content-length"])
        return Reply(status, fields, self._file.read(length))

    def ask(self, method: str, path: str, body: bytes = b"", *fields: str) -> Reply:
        self.send(request(method, path, body, *fields))
        return self.reply(head=method == "HEAD")

    def get(self, path: str) -> Reply:
        return self.ask("GET", path)

    def post(self, path: str, content: Any) -> Reply:
        return self.ask("POST", path, json.dumps(content).encode())

    def infer(self, content: Any, *binary: bytes, model: str = "digits") -> Reply:
        header = json.dumps(content).encode()
        fields = [f"Inference-Header-Content-Length: {len(header)}"] if binary else []
        return self.ask("POST", f"/v2/models/{model}/infer", b"".join([header, *binary]), *fields)

    @property
    def ended(self) -> bool:
        """Whether the server has closed it; waits for up to the socket's time-out."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def request(method: str, path: str, body: bytes = b"", *fields: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def asking_images(value: float, rows: int, *fields: str, model: str = "digits") -> bytes:
    """A request with so many images of 4 behind the JSON, each number of them `value`; it wants binary back."""
    shape = [rows, 4]
    tensor = {"name": "image", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": 16 * rows}}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = f"Inference-Header-Content-Length: {len(header)}"
    images = np.full(shape, value, "<f4").tobytes()
    return request("POST", f"/v2/models/{model}/infer", header + images, length, *fields)


def doubled(wire: Wire) -> float:
    """What was doubled to each value of the next answer's `image_out`."""
    (value,) = set(wire.reply().tensor("image_out").ravel().tolist())
    return float(value) / 2


class Served:
    """A running server."""

    def __init__(self, server: HttpServer, engine: Engine, path: Path, regions: Regions) -> None:
        self.server = server
        self.engine: Any = engine
        self.path = path
        self.regions = regions
        self.stop = threading.Event()
        self.thread = threading.Thread(target=server.run, args=(self.stop,))
        self.thread.start()
        self._wires: list[Wire] = []

    def wire(self) -> Wire:
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(60)
        connected.connect(str(self.path))
        self._wires.append(Wire(connected))
        return self._wires[-1]

    def end(self) -> None:
        self.stop.set()
        self.server.wake()
        self.thread.join(60)
        for wire in self._wires:
            wire.close()
        assert not self.thread.is_alive()


@contextmanager
def served(
    engine: Engine,
    folder: Path,
    *,
    shared_memory: Path | None = None,
    sealed_max_bytes: int = 1 << 20,
    tcp_port: int = 0,
    body_max_bytes: int = 1 << 20,
    bodies_max_bytes: int = 1 << 22,
    connections_max: int = 256,
    doors_seconds: float = 0.0,
) -> Iterator[Served]:
    path = folder / "v.sock"
    regions = Regions(shared_memory or SHARED_MEMORY, sealed_max_bytes=sealed_max_bytes)
    server = HttpServer(
        Routes(engine, regions),
        path=path,
        tcp_port=tcp_port,
        body_max_bytes=body_max_bytes,
        budget=Budget(bodies_max_bytes),
        connections_max=connections_max,
        doors_seconds=doors_seconds,
    )
    running = Served(server, engine, path, regions)
    while not path.exists():
        running.thread.join(0.005)
        assert running.thread.is_alive()
    try:
        yield running
    finally:
        running.end()
