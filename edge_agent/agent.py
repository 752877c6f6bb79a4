"""The running agent: wires its parts together, gives each a thread, and stops them within seconds."""

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edge_agent import __version__, huge_pages, identity, memory, systemd
from edge_agent.allotment import allotted_bytes
from edge_agent.blackbox import BlackBox
from edge_agent.capture.capturing import Capturing
from edge_agent.config import Config
from edge_agent.core.batching import Bounds
from edge_agent.core.journal import key
from edge_agent.core.limits import Limits
from edge_agent.core.room import room
from edge_agent.errors import AgentError, ConfigWrong, StateUnusable
from edge_agent.feeds import Feeds
from edge_agent.hub_clock import HubClock
from edge_agent.hub_link import HubLink, Settings
from edge_agent.local_clock import LocalClock
from edge_agent.reload import changes, followed
from edge_agent.runtimes import Runtimes
from edge_agent.serving.engine import ServingEngine
from edge_agent.serving.front import Front
from edge_agent.state import StateFolder
from edge_agent.store.quota import Quota
from edge_agent.telemetry.gauge import Gauge
from edge_agent.telemetry.tally import Tally
from edge_agent.telemetry.window import Recorder
from edge_agent.transport.port import Transport
from edge_agent.update.updater import Trust, Updater
from edge_agent.vitals import LONGEST_WAIT_SECONDS, Vital, Vitals
from fleet_contract.because import Because
from fleet_contract.join import Identity
from fleet_contract.report import ModelReport, Phase
from fleet_contract.topics import Address

if TYPE_CHECKING:
    import ssl

    from edge_agent.telemetry.spool import Spool
    from edge_agent.uplink import Uplink

_log = logging.getLogger(__name__)
_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})
#: A stopped agent is gone within 5 seconds, whatever hangs; the two below it are together less.
_STOP_SECONDS = 4.7
_THREADS_STOP_SECONDS = 2.5
_FAREWELL_SECONDS = 1.5
#: For captures that wait for the disk.
_CAPTURES_STOP_SECONDS = 0.3
#: How long the service manager may take to end an agent that has told it that it is stuck.
_TRIGGER_SECONDS = 2.0
#: How long the models that are on disk may keep the agent from connecting.
_MODELS_FIRST_SECONDS = 2.0
_ANSWERS_FIRST_SECONDS = 0.1
#: Who asks while they are loaded is answered a moment later. Told to come again, it would do so after a second; and
#: telling it takes the time of what it waits for. Who only wants to know whether the agent lives can wait as long.
_DOORS_SECONDS = 0.5
#: A loop that has not turned for so long is stuck, and only a restart helps.
_STUCK_SECONDS = 12 * LONGEST_WAIT_SECONDS
#: What hangs in a model is found by the updater, which knows whose fault it is; who only sees that a loop does not turn
#: gives it so many times as long.
_PATIENCE = 2.0
#: Of the memory that there is, the agent may grow by this part beside what requests hold: batches of all sizes leave
#: something behind, and a small device has other work.
_GROWTH_SHARE = 4
#: Of each turn, for putting pages together: a large model takes many, and parts are to be watched meanwhile, and a
#: signal to be heard.
_GATHER_SECONDS = 0.25


class PartDied(AgentError):
    """A part that must run for as long as the agent has ended. The service manager starts the agent again."""

    code = "part-died"


class PartStuck(PartDied):
    """A part has not turned for too long, and only a restart helps."""

    code = "part-stuck"


class Agent:
    """One start of the agent on a state folder that it holds. `start`, then `stop`, once each."""

    def __init__(self, config: Config, state: StateFolder) -> None:
        """Raises `NotJoined` or `StateUnusable`."""
        who = identity.load(state)
        address = identity.address_of(who)
        target = config.target or who.target
        boot = os.urandom(8).hex()
        self._stop = threading.Event()
        self._runtimes = Runtimes(config.runtime, meanwhile=self._get_ready)
        trust = Trust(address, target, who.hub_keys, who.release_keys)
        try:
            self._updater = Updater(
                state.models,
                trust,
                who.hub,
                quota=Quota(config.disk.artifacts_max_bytes),
                limits=_limits(config),
                # Not where it would wear out a flash: it is written with each record, and means nothing after a reboot.
                blackbox=BlackBox(systemd.runtime_folder(state.models)),
                tls=lambda: _artifacts_tls(who),
                opener=self._runtimes.open,
                held_bytes=self._held_bytes,
            )
        except OSError as error:
            raise StateUnusable(f"Cannot read {state.models}: {error}.", "Run as the user who owns it.") from error
        self._recorder = Recorder(int(config.telemetry.window_seconds * 1000), Gauge().read)
        self._tally = Tally(self._recorder)
        requests = room(config.serving.body_max_bytes, allotted_bytes())
        self._engine = ServingEngine(
            self._updater.slot,
            lambda: (key(one.model, one.slot) for one in self._models()),
            self._tally,
            why=lambda model: next((one.because for one in self._models() if key(one.model, one.slot) == model), None),
            starting=lambda: not self._updater.at_rest.is_set(),
            queue=config.serving.queue,
            # Of bodies alone a few of the largest are bounded; what they unpack to, and shared memory, is here.
            queue_max_bytes=requests.body_bytes,
            workers=config.serving.workers,
            memory_max_bytes=config.serving.memory_max_bytes,
            batching={one.model: Bounds(one.max_batch, one.max_delay_ms / 1000) for one in config.serving.batching},
        )
        self._front: Front | None = None
        if config.serving.enabled:
            self._front = Front(
                config.serving, requests, state.path, self._engine, self._changed, doors_seconds=_DOORS_SECONDS
            )
        self._feeds = Feeds(self._updater.slot, self._engine, self._changed)
        self._clock = HubClock(lambda: self._updater.state().issued_at)
        self._wall = LocalClock(self._clock.told, config.timezone)
        started_at = datetime.now(UTC)

        def link(settings: Settings) -> "tuple[Spool, Uplink]":
            from edge_agent.reporting import Origin, Reporter
            from edge_agent.telemetry.spool import Spool
            from edge_agent.uplink import Uplink

            spool = Spool(state.spool, ".".join(address), boot, settings.spool_max_bytes)
            origin = Origin(address, boot, target, started_at)
            reporter = Reporter(origin, self._updater.state, spool, self._troubles, self._capturing.report)
            uplink = Uplink(
                address.device,
                _transport(address, who, state),
                reporter,
                self._recorder,
                spool,
                self._updater.receive,
                settings.heartbeat_seconds,
            )
            uplink.on_time = self._clock.heard
            return spool, uplink

        self._link = HubLink(self._updater.state, link, _link_settings(config))
        self._capturing = Capturing(state.captures, self._tally, self._link.tell)
        self._updater.on_change = self._changed
        self._updater.go_by(self._wall.wall)
        self._clock.on_change = self._changed
        self._untidy = threading.Event()
        self._gathering: Iterator[int] = iter(())
        self._threads: list[threading.Thread] = []
        self._config = config
        self._config_trouble: Because | None = None
        self._vitals = Vitals(time.monotonic())
        _log.info(
            "vedette-agent %s, boot %s: %s in fleet %s, target %s, broker %s:%d",
            *(__version__, boot, address.device, address.fleet, target, who.broker.host, who.broker.port),
        )

    def watch(self) -> None:
        """Lets Python tell the next start of the fatal signal that ends this process, if one does."""
        self._updater.watch()

    def start(self) -> None:
        """Starts all parts and returns."""
        self._thread("updater", self._updater.run)
        self._feeds.follow(self._config.sources)
        for name, loop in self._front.loops() if self._front is not None else ():
            self._thread(name, loop)
        self._thread("uplink", self._talk)

    def _talk(self, stop: threading.Event) -> None:
        # Applications on the gateway wait for the models, and then for their answers; the hub has heard worse than a
        # second of silence.
        self._updater.at_rest.wait(_MODELS_FIRST_SECONDS)
        if self._front is not None:
            self._front.let_in()
        stop.wait(_ANSWERS_FIRST_SECONDS)
        memory.settle()
        self._capturing.follow(self._config.capture)
        self._link.run(stop)

    def check(self) -> None:
        """Raises `PartDied` when a part has ended; `PartStuck` when one has not turned for too long, or when a model
        has taken what only the end of the process gives back."""
        for thread in (*self._threads, *self._feeds.threads()):
            if not thread.is_alive():
                raise PartDied(f"The agent's {thread.name} has ended; the log says why.")
        if spent := self._updater.unwell():
            raise PartStuck(spent.sentence, code=spent.code)
        if stuck := self._vitals.stuck(self._parts(), time.monotonic()):
            raise PartStuck(stuck.sentence)

    def _models(self) -> Iterator[ModelReport]:
        """All but those that were evicted, which are only told of for a while."""
        return (one for one in self._updater.state().models if one.phase is not Phase.EVICTED)

    def _parts(self) -> Iterator[Vital]:
        yield Vital("uplink", self._link.turned_at, _STUCK_SECONDS)
        limits = self._config.limits
        hanging = _PATIENCE * limits.hang_seconds
        # It turns only after it has loaded a model and replayed its golden set.
        yield Vital("updater", lambda: self._updater.turned_at, limits.load_seconds + _STUCK_SECONDS, "a model hangs")
        if self._front is not None:
            # It runs quick models itself.
            yield Vital("serving", self._front.turned_at, max(_STUCK_SECONDS, hanging), "a model hangs")
        yield from self._feeds.vitals(hanging)

    def follow(self, wanted: Config) -> None:
        """Takes on a config that was read again, as far as that goes while the agent runs; says what must wait."""
        before, self._config = self._config, followed(self._config, wanted)
        changed = changes(before, wanted)
        logging.getLogger().setLevel(self._config.log_level.upper())
        self._link.set(_link_settings(self._config))
        self._recorder.window_ms = int(self._config.telemetry.window_seconds * 1000)
        self._updater.allow(Quota(self._config.disk.artifacts_max_bytes))
        self._updater.limit(_limits(self._config))
        self._capturing.follow(self._config.capture)
        self._wall.move(self._config.timezone)
        self._feeds.follow(self._config.sources)
        _log.info("config read again: %s", f"changed {', '.join(changed.live)}" if changed.live else "no change")
        waiting = None
        if changed.waiting:
            waiting = Because(
                "restart-needed", f"The config's {', '.join(changed.waiting)} waits for the next start of the agent."
            )
        self._tell_config(waiting)

    def keep(self, wrong: ConfigWrong) -> None:
        """Goes on with the config of before: the one that was read again is wrong."""
        self._tell_config(Because(wrong.code, f"{wrong.what} The agent goes on with the config of before."))

    def _tell_config(self, trouble: Because | None) -> None:
        if trouble is not None:
            _log.warning("%s", trouble)
        self._config_trouble = trouble
        self._changed()

    def stop(self) -> None:
        """Stops all parts, keeps what they have, and says goodbye; takes less than 5 seconds."""
        self._stop.set()
        self._updater.wake()
        self._link.wake()
        if self._front is not None:
            self._front.wake()
        deadline = time.monotonic() + _THREADS_STOP_SECONDS
        self._feeds.stop(_THREADS_STOP_SECONDS)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for thread in (*self._threads, *self._feeds.threads()):
            if thread.is_alive():
                _log.warning("%s did not stop in time", thread.name)
        self._engine.close()
        self._tally.close()
        self._capturing.close(_CAPTURES_STOP_SECONDS)
        self._link.close(_FAREWELL_SECONDS)

    def _thread(self, name: str, run: Callable[[threading.Event], None]) -> None:
        # Daemons: what does not stop in time must not keep the process.
        thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def tidy(self) -> None:
        """Gives back the memory that updates have needed, 7 MB of 90 after a download and a pre-flight, and that of
        models which are too many."""
        self._engine.settle()
        if self._untidy.is_set():
            self._untidy.clear()
            memory.collect()
            memory.give_back()
            memory.forget_code()
            self._gathering = huge_pages.gather()
        huge_pages.go_on(self._gathering, _GATHER_SECONDS)

    def _changed(self) -> None:
        self._untidy.set()
        self._link.changed()

    def _get_ready(self) -> None:
        # What the first answer needs to import takes as long as a small model takes to load.
        if self._front is not None:
            self._front.prepare()

    def _held_bytes(self) -> int:
        """What applications send and are sent is no leak of a model's: bodies and answers as they lie, or the tensors
        that bodies unpack to; nor are those that are to be captured."""
        requests = max(0 if self._front is None else self._front.held_bytes, self._engine.held_bytes)
        return requests + self._capturing.held_bytes

    def _troubles(self) -> list[Because]:
        found = [*self._link.troubles(), self._config_trouble, *self._feeds.troubles()]
        found += [*self._runtimes.troubles(), self._clock.trouble(), *self._capturing.troubles()]
        found += self._front.troubles() if self._front is not None else []
        return [one for one in found if one is not None]


def _link_settings(config: Config) -> Settings:
    return Settings(config.heartbeat_seconds, config.telemetry.spool_max_bytes)


def _limits(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        latency_ms=limits.latency_ms or None,
        resident_bytes=limits.resident_bytes or None,
        growth_bytes=limits.growth_bytes or allotted_bytes() // _GROWTH_SHARE,
        hang_seconds=limits.hang_seconds,
        load_seconds=limits.load_seconds,
    )


def run(config: Config, load: Callable[[], Config]) -> None:
    """Runs the agent until SIGTERM or SIGINT; SIGHUP has it `load` its config again.

    Raises `StateLocked`, `NotJoined`, `StateUnusable` or `PartDied`; `load` may raise `ConfigWrong`.
    """
    # Says where each thread hangs when the service manager's watchdog ends us, even while foreign code holds the lock.
    # By its number: what stands in for it in a test has none.
    faulthandler.enable(2)
    memory.limit()
    # Waited for and not handled: a handler would run between any two steps of this thread, and must not take a lock.
    # Threads that start from here on have them blocked, too.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING | {signal.SIGHUP})
    state = StateFolder(config.state_dir)
    try:
        state.lock(systemd.runtime_folder(state.path))
        _run_until_told(Agent(config, state), load)
    finally:
        state.unlock()
        # What came again while it stopped is followed already.
        while signal.sigtimedwait(_STOPPING | {signal.SIGHUP}, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_until_told(agent: Agent, load: Callable[[], Config]) -> None:
    agent.watch()
    agent.start()
    systemd.notify("READY=1")
    clean = False
    try:
        _attend(agent, load)
        clean = True
    except PartDied as error:
        _log.critical("%s", error.because)
        # Before the stop, which the manager may not wait for.
        faulthandler.dump_traceback(all_threads=True)
        raise
    finally:
        if clean:
            systemd.notify("STOPPING=1")
        # Should the stop itself hang, on a dead disk or in foreign code: nothing handles this signal, so it ends us.
        signal.setitimer(signal.ITIMER_REAL, _STOP_SECONDS)
        agent.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        if not clean or threading.active_count() > 1:
            # Python's own way out would take apart what a thread in foreign code still uses.
            _leave(clean)


def _attend(agent: Agent, load: Callable[[], Config]) -> None:
    """Watches the parts until a signal to stop comes, and tells the service manager. Raises `PartDied`."""
    # A terminal that is closed takes its programs with it; a service's SIGHUP means the config.
    stopping = _STOPPING | ({signal.SIGHUP} if os.isatty(0) else set())
    beat = min(systemd.watchdog_seconds() or LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
    while True:
        caught = signal.sigtimedwait(_STOPPING | {signal.SIGHUP}, beat)
        if caught is not None and caught.si_signo in stopping:
            _log.info("stopping on %s", signal.Signals(caught.si_signo).name)
            return
        if caught is not None:
            _reload(agent, load)
        agent.check()
        agent.tidy()
        systemd.notify("WATCHDOG=1")


def _reload(agent: Agent, load: Callable[[], Config]) -> None:
    systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        agent.follow(load())
    except ConfigWrong as error:
        agent.keep(error)
    finally:
        systemd.notify("READY=1")


def _leave(clean: bool) -> None:
    """Ends the process as it is."""
    if not clean:
        # The manager ends us at once, and notes why.
        systemd.notify("WATCHDOG=trigger")
        time.sleep(_TRIGGER_SECONDS if systemd.watchdog_seconds() else 0.0)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0 if clean else 1)


def _artifacts_tls(who: Identity) -> "ssl.SSLContext":
    from edge_agent.transport.tls import artifacts_context

    return artifacts_context(who)


def _transport(address: Address, who: Identity, state: StateFolder) -> Transport:
    from edge_agent.transport.paho import PahoTransport

    return PahoTransport(address, who.broker, (lambda: _tls(who, state)) if who.broker.tls else None)


def _tls(who: Identity, state: StateFolder) -> "ssl.SSLContext":
    from edge_agent.transport.tls import context

    return context(who, state)
