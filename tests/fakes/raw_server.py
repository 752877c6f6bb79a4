"""An HTTP server that sends, byte for byte, what a test says: for answers that no honest server gives."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answer = bytes | Callable[[socket.socket], None]


@dataclass
class RawServer:
    """`requests` are the heads that came, in order."""

    port: int
    requests: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/blob"


def head(status: str, **headers: str | int) -> bytes:
    """A status line and headers; `_` in a name stands for `-`."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextmanager
def answering(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Gives each connection the next of `answers`, the last again and again, and then hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(listener.getsockname()[1])

    def serve(number: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            talk = connection if tls is None else tls.wrap_socket(connection, server_side=True)
            with talk:
                request = b""
                while b"\r\n\r\n" not in request:
                    came = talk.recv(4096)
                    if not came:
                        return
                    request += came
                server.requests.append(request.decode())
                answer = answers[min(number, len(answers) - 1)]
                if isinstance(answer, bytes):
                    talk.sendall(answer)
                else:
                    answer(talk)

    def accept() -> None:
        number = 0
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(number, connection), daemon=True).start()
                number += 1

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)
