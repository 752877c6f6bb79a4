"""A server on loopback, reachable at another address too: a hub wants a token for that, and a test does not."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(host: str, target_port: Callable[[], int]) -> Iterator[int]:
    """The port at `host` that leads to 127.0.0.1 at `target_port()`, in the network namespace of this thread."""
    listener = socket.create_server((host, 0))

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", target_port())) as server:
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()

    closing = threading.Event()

    def accept() -> None:
        while not closing.is_set():
            # One that was reset while it waited is an error of its own, and not of those that come after it: if nobody
            # took those, they would be connected and never answered.
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        closing.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
