"""Serves the hub over HTTP until it is told to stop, and then stops within seconds, open streams and all."""

import signal
import socket
from collections.abc import Callable

import uvicorn

from cloud_hub.app import Hub

#: How long requests under way may take to end.
_GRACE_SECONDS = 2
#: How long a connection may lie idle. With uvicorn's 5 s, who asks every five seconds sends into one that is just being
#: closed, and so does whoever a busy machine has held up; what changes something cannot be sent again.
_IDLE_SECONDS = 75


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, hub: Hub, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._hub = hub
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A stream ends only when its watch does, and uvicorn waits for streams.
        self._hub.changes.close()
        await super().shutdown(sockets)


def serve(hub: Hub, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Blocks until SIGTERM or SIGINT. Calls `ready` when requests are answered."""
    config = uvicorn.Config(
        hub.app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_IDLE_SECONDS,
        lifespan="off",
    )
    # uvicorn raises the signal again when it is done, and the default would end us before we have cleaned up.
    before = {number: signal.signal(number, lambda _number, _frame: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _Server(config, hub, ready).run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
