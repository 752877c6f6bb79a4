"""Serves the Open Inference Protocol over gRPC, on loopback. Imports gRPC when it runs, for it takes 30 MB."""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edge_agent.serving.budget import Budget
from edge_agent.serving.port import Engine
from edge_agent.serving.regions import Regions
from fleet_contract.because import Because

if TYPE_CHECKING:
    import grpc

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0
_DRAIN_SECONDS = 1.0
#: What a message has beside its tensors.
_MARGIN_BYTES = 1024 * 1024


class RpcServer:
    """`run` it on a thread of its own. What keeps it from serving is told in `trouble`, and tried again."""

    def __init__(
        self,
        engine: Engine,
        regions: Regions,
        *,
        port: int,
        calls_max: int,
        message_max_bytes: int,
        budget: Budget,
        on_trouble: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._regions = regions
        self._port = port
        self._calls_max = calls_max
        self._message_max_bytes = message_max_bytes
        self._budget = budget
        self._on_trouble = on_trouble
        self.trouble: Because | None = None

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop`, and then answers what is under way."""
        server = None
        while server is None:
            server = self._open()
            if server is None and stop.wait(_RETRY_SECONDS):
                return
        _log.info("serving gRPC on port %d", self._port)
        stop.wait()
        server.stop(_DRAIN_SECONDS).wait()

    def _open(self) -> "grpc.Server | None":
        try:
            # The agent forks only to start other programs; gRPC's care for forks closes files that are not its own.
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
            import grpc

            from edge_agent.serving.rpc.service import Service
        except ImportError as error:
            self._tell(Because("grpc-missing", f"Cannot serve gRPC: {error}. Install the extra `grpc` of vedette."))
            return None
        server = grpc.server(
            # A call waits on a thread of its own for the engine, whose queue is what is bounded.
            ThreadPoolExecutor(self._calls_max, thread_name_prefix="grpc"),
            handlers=[Service(self._engine, self._regions, self._budget).handler()],
            options=[
                # Else a second agent would share the port, and get half of what is meant for the first.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", self._message_max_bytes + _MARGIN_BYTES),
                ("grpc.max_send_message_length", -1),
            ],
            maximum_concurrent_rpcs=self._calls_max,
        )
        try:
            server.add_insecure_port(f"127.0.0.1:{self._port}")
        except RuntimeError:
            self._tell(Because("serving-place-taken", f"Cannot serve gRPC on port {self._port}: another process does."))
            return None
        server.start()
        self._tell(None)
        return server

    def _tell(self, trouble: Because | None) -> None:
        if trouble != self.trouble:
            if trouble is not None:
                _log.error("%s", trouble)
            self.trouble = trouble
            self._on_trouble()
