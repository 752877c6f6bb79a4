"""A client of the agent: SOCKET WAY FOLDER NET:SHAPE..., where the way is "binary", "shared" memory of its own, or
"sealed" memory that the agent makes.

The Open Inference Protocol over HTTP on a Unix socket, as any client would speak it, on one connection.
"""

import json
import mmap
import os
import socket
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pace


def head(path, header, tensors):
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(header) + tensors}"]
    if tensors:
        lines.append(f"Inference-Header-Content-Length: {len(header)}")
    return "\r\n".join([*lines, "", ""]).encode() + header


class Connection:
    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._buffer = bytearray(64 * 1024)
        self._view = memoryview(self._buffer)
        # Of the last answer: the next is likely to begin the same way.
        self._head, self._body_bytes = b"", 0

    def ask(self, *parts):
        """The head and the body of the answer to one request."""
        sent = self._socket.sendmsg(parts)
        whole = sum(map(len, parts))
        if sent < whole:
            self._socket.sendall(memoryview(b"".join(parts))[sent:])
        view = self._view
        have = self._socket.recv_into(view)
        body, length = len(self._head), self._body_bytes
        if not body or have < body + length or not self._buffer.startswith(self._head):
            body, length = self._read(have)
        return self._head, view[body : body + length]

    def made(self, name, size):
        """Memory that the agent makes, and reads where it lies."""
        wish = json.dumps({"byte_size": size}).encode()
        self._socket.sendall(head(f"/v2/systemsharedmemory/region/{name}/create", wish, 0))
        answer, (descriptor,), _, _ = socket.recv_fds(self._socket, 4096, 1)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        try:
            return mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)

    def registered(self, name, size):
        """Memory of our own, which it copies."""
        place = Path("/dev/shm", name)
        with place.open("w+b") as file:
            file.truncate(size)
            memory = mmap.mmap(file.fileno(), size)
        try:
            region = json.dumps({"key": f"/{name}", "offset": 0, "byte_size": size}).encode()
            answer, body = self.ask(head(f"/v2/systemsharedmemory/region/{name}/register", region, 0))
            assert answer.startswith(b"HTTP/1.1 200"), (answer, bytes(body))
        finally:
            # Both have it open.
            place.unlink()
        return memory

    def _read(self, have):
        """Where the body begins, and its length, once all of it is there; `have` is what has come so far."""
        view = self._view
        end = self._buffer.find(b"\r\n\r\n", 0, have)
        while end < 0:
            have += self._more(have)
            end = self._buffer.find(b"\r\n\r\n", 0, have)
        answer = bytes(view[:end])
        at = answer.lower().index(b"\r\ncontent-length:") + 17
        length = int(answer[at:].split(b"\r\n", 1)[0])
        body = end + 4
        while have < body + length:
            have += self._more(have)
        self._head, self._body_bytes = bytes(view[:body]), length
        return body, length

    def _more(self, have):
        got = self._socket.recv_into(self._view[have:])
        assert got, "the agent hung up"
        return got


def binary(agent, model, record):
    """Tensors in the body."""
    parameters = {"binary_data_size": record.nbytes}
    tensor = {"name": "x", "datatype": "FP32", "shape": list(record.shape), "parameters": parameters}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    first, second = head(_path(model), header, record.nbytes), memoryview(record).cast("B")

    def ask():
        answer, body = agent.ask(first, second)
        assert answer.startswith(b"HTTP/1.1 200"), (answer, bytes(body))
        return np.frombuffer(body[-40:], np.float32), len(body)

    headers = {"Inference-Header-Content-Length": str(len(header))}
    return {"url": f"http://localhost{_path(model)}", "http": 1, "headers": headers}, header + record.tobytes(), ask


def shared(region, agent, model, record):
    """Tensors in memory that both see, which `region` gives."""
    name = f"vedette-bench-{os.getpid()}-{model}"
    memory = region(agent, name, record.nbytes + 40)
    given = {"shared_memory_region": name, "shared_memory_byte_size": record.nbytes}
    taken = {"shared_memory_region": name, "shared_memory_byte_size": 40, "shared_memory_offset": record.nbytes}
    output = {"name": "scores", "parameters": taken}
    tensor = {"name": "x", "datatype": "FP32", "shape": list(record.shape), "parameters": given}
    sent = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
    request = head(_path(model), sent, 0)
    source = np.frombuffer(memory, np.float32, record.size).reshape(record.shape)
    scores = np.frombuffer(memory, np.float32, 10, record.nbytes)

    def ask():
        # As a camera's driver would: each record is written anew.
        np.copyto(source, record)
        answer, body = agent.ask(request)
        assert answer.startswith(b"HTTP/1.1 200"), (answer, bytes(body))
        return scores, len(body)

    return {"url": f"http://localhost{_path(model)}", "http": 1, "headers": {}}, sent, ask


def bare(folder, model, record):
    """The net in this process."""
    from sessions import open_session

    session, source = open_session(Path(folder, "models", f"{model}.onnx")), np.empty_like(record)

    def run():
        # As with shared memory: it is written anew.
        np.copyto(source, record)
        session.run(None, {"x": source})

    return run


def _path(model):
    return f"/v2/models/{model}/infer"


if __name__ == "__main__":
    path, way, *more = sys.argv[1:]
    agent = Connection(path)
    regions = {"shared": Connection.registered, "sealed": Connection.made}
    asking = partial(shared, regions[way], agent) if way in regions else partial(binary, agent)

    def over_socket(model, record):
        request, body, ask = asking(model, record)
        return {**request, "socket": path}, body, ask

    pace.run(over_socket, more, bare=partial(bare, more[0]) if way in regions else None)
