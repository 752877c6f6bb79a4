"""All that applications can reach: HTTP on a Unix socket and on loopback, and gRPC where it is wanted."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent import systemd
from edge_agent.config import Serving
from edge_agent.core.room import Room
from edge_agent.serving.budget import Budget
from edge_agent.serving.http.routes import Routes
from edge_agent.serving.http.server import HttpServer
from edge_agent.serving.port import Engine
from edge_agent.serving.regions import Regions
from fleet_contract.because import Because

if TYPE_CHECKING:
    from edge_agent.serving.rpc.server import RpcServer


class Front:
    """The doors to `engine`, and `room` for what comes in. Run each of `loops` on a thread of its own.

    Who comes over HTTP in the first `doors_seconds` waits until `let_in`.
    """

    def __init__(
        self,
        config: Serving,
        room: Room,
        state_dir: Path,
        engine: Engine,
        on_trouble: Callable[[], None],
        *,
        doors_seconds: float = 0.0,
    ) -> None:
        # What would come in bodies otherwise.
        regions = Regions(sealed_max_bytes=room.body_bytes)
        budget = Budget(room.bodies_bytes)
        self._routes = Routes(engine, regions)
        self._http = HttpServer(
            self._routes,
            path=Path(config.socket) if config.socket else systemd.runtime_folder(state_dir) / "vedette.sock",
            tcp_port=config.tcp_port,
            body_max_bytes=room.body_bytes,
            budget=budget,
            connections_max=config.connections,
            doors_seconds=doors_seconds,
            on_trouble=on_trouble,
        )
        self._rpc = _rpc(config, engine, regions, room.message_bytes, budget, on_trouble)

    def loops(self) -> Iterator[tuple[str, Callable[[threading.Event], None]]]:
        """Name and function of each loop; they end when the event is set and `wake` is called."""
        yield "serving", self._http.run
        if self._rpc is not None:
            yield "serving-grpc", self._rpc.run

    def prepare(self) -> None:
        """Has the loop that answers inferences ready for the first. On any thread; returns at once."""
        self._http.soon(self._routes.prepare)

    def let_in(self) -> None:
        """Has those who wait at the door served. On any thread."""
        self._http.let_in()

    def turned_at(self) -> float:
        """When the loop that answers last turned, in monotonic seconds: every 5 seconds at least."""
        return self._http.turned_at

    @property
    def held_bytes(self) -> int:
        """What the bodies of requests take that arrive or are not answered yet, and answers that are not taken yet."""
        return self._http.held_bytes

    def troubles(self) -> list[Because]:
        """What keeps applications from being served where they should be."""
        found = self._http.troubles
        if self._rpc is not None and self._rpc.trouble is not None:
            found.append(self._rpc.trouble)
        return found

    def wake(self) -> None:
        """Lets the loops see that they are to end."""
        self._http.wake()


def _rpc(
    config: Serving,
    engine: Engine,
    regions: Regions,
    message_max_bytes: int,
    budget: Budget,
    on_trouble: Callable[[], None],
) -> "RpcServer | None":
    if not config.grpc_port:
        return None
    # It brings thread pools, which nothing else here needs.
    from edge_agent.serving.rpc.server import RpcServer

    return RpcServer(
        engine,
        regions,
        port=config.grpc_port,
        calls_max=config.queue + config.workers,
        message_max_bytes=message_max_bytes,
        budget=budget,
        on_trouble=on_trouble,
    )
