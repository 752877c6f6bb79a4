"""The running agent: wires its parts together, gives each a thread, and stops them within seconds."""

import logging
import secrets
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edge_agent import __version__, identity, memory, systemd
from edge_agent.config import Config
from edge_agent.errors import AgentError, StateUnusable
from edge_agent.inference import Inference
from edge_agent.reporting import Origin, Reporter
from edge_agent.sources.opening import source_of
from edge_agent.state import StateFolder
from edge_agent.telemetry.spool import Spool
from edge_agent.telemetry.window import Recorder
from edge_agent.transport.paho import PahoTransport
from edge_agent.update.updater import Trust, Updater
from edge_agent.uplink import LONGEST_WAIT_SECONDS, Uplink
from fleet_contract.because import Because
from fleet_contract.join import Identity

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger(__name__)
#: Together below the 5 seconds within which a stopped agent is gone.
_THREADS_STOP_SECONDS = 2.5
_FAREWELL_SECONDS = 1.5
#: A loop that has not turned for so long is stuck, and only a restart helps.
_STUCK_SECONDS = 12 * LONGEST_WAIT_SECONDS
#: The same for the updater, which turns only after it has loaded a model and replayed its golden set.
_HUNG_SECONDS = 300.0


class PartDied(AgentError):
    """A part that must run for as long as the agent has ended. The service manager starts the agent again."""

    code = "part-died"


class Agent:
    """One start of the agent on a state folder that it holds. `start`, then `stop`, once each."""

    def __init__(self, config: Config, state: StateFolder) -> None:
        """Raises `NotJoined` or `StateUnusable`."""
        who = identity.load(state)
        address = identity.address_of(who)
        target = config.target or who.target
        boot = secrets.token_hex(8)
        self._stop = threading.Event()
        self._spool = Spool(state.spool, boot, config.telemetry.spool_max_bytes)
        trust = Trust(address, target, who.hub_keys, who.release_keys)
        try:
            self._updater = Updater(state.models, trust, who.hub)
        except OSError as error:
            raise StateUnusable(f"Cannot read {state.models}: {error}.", "Run as the user who owns it.") from error
        self._recorder = Recorder(int(config.telemetry.window_seconds * 1000))
        self._inferences = [
            Inference(source_of(one), self._updater.slot(one.model), self._recorder, self._changed)
            for one in config.sources
        ]
        origin = Origin(address, boot, target, datetime.now(UTC))
        self._uplink = Uplink(
            address.device,
            PahoTransport(address, who.broker, (lambda: _tls(who, state)) if who.broker.tls else None),
            Reporter(origin, self._updater.state, self._spool, self._troubles),
            self._recorder,
            self._spool,
            self._updater.receive,
            config.heartbeat_seconds,
        )
        self._updater.on_change = self._changed
        self._untidy = threading.Event()
        self._threads: list[threading.Thread] = []
        _log.info(
            "vedette-agent %s, boot %s: %s in fleet %s, target %s, broker %s:%d",
            *(__version__, boot, address.device, address.fleet, target, who.broker.host, who.broker.port),
        )

    def start(self) -> None:
        """Starts all parts and returns."""
        self._thread("updater", self._updater.run)
        for number, inference in enumerate(self._inferences):
            self._thread(f"source-{number}", inference.run)
        self._thread("uplink", self._uplink.run)

    def check(self) -> None:
        """Raises `PartDied` when a part has ended or is stuck."""
        for thread in self._threads:
            if not thread.is_alive():
                raise PartDied(f"The agent's {thread.name} has ended; the log says why.")
        if (silent := time.monotonic() - self._uplink.turned_at) > _STUCK_SECONDS:
            raise PartDied(f"The agent's uplink has been stuck for {silent:.0f} s.")
        if (silent := time.monotonic() - self._updater.turned_at) > _HUNG_SECONDS:
            # The load was counted before it began, so the model that hangs is rejected after some starts.
            raise PartDied(f"The agent's updater has been stuck for {silent:.0f} s: a model hangs.")

    def stop(self) -> None:
        """Stops all parts, keeps what they have, and says goodbye; takes less than 5 seconds."""
        self._stop.set()
        self._updater.wake()
        self._uplink.wake()
        deadline = time.monotonic() + _THREADS_STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                _log.warning("%s did not stop in time", thread.name)
        self._uplink.close(_FAREWELL_SECONDS)
        self._spool.close()

    def _thread(self, name: str, run: Callable[[threading.Event], None]) -> None:
        # Daemons: what does not stop in time must not keep the process.
        thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def tidy(self) -> None:
        """Gives back the memory that updates have needed: 7 MB of 90 after a download and a pre-flight."""
        if self._untidy.is_set():
            self._untidy.clear()
            memory.give_back()

    def _changed(self) -> None:
        self._untidy.set()
        self._uplink.changed()

    def _troubles(self) -> list[Because]:
        found = [self._spool.trouble, self._spool.unreadable, *(one.trouble for one in self._inferences)]
        return [one for one in found if one is not None]


def run(config: Config) -> None:
    """Runs the agent until SIGTERM or SIGINT. Raises `StateLocked`, `NotJoined`, `StateUnusable` or `PartDied`."""
    memory.limit()
    state = StateFolder(config.state_dir)
    state.lock()
    try:
        _run_until_told(Agent(config, state))
    finally:
        state.unlock()


def _run_until_told(agent: Agent) -> None:
    # Waited for and not handled: a handler would run between any two steps of this thread, and must not take a lock.
    # Threads that start from here on have them blocked, too.
    stopping = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    agent.start()
    systemd.notify("READY=1")
    beat = systemd.watchdog_seconds() or LONGEST_WAIT_SECONDS
    try:
        while (caught := signal.sigtimedwait(stopping, beat)) is None:
            agent.check()
            agent.tidy()
            systemd.notify("WATCHDOG=1")
        _log.info("stopping on %s", signal.Signals(caught.si_signo).name)
    finally:
        systemd.notify("STOPPING=1")
        agent.stop()


def _tls(who: Identity, state: StateFolder) -> "ssl.SSLContext":
    from edge_agent.transport.tls import context

    return context(who, state)
