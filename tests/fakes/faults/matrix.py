"""The kill matrix: an update with SIGKILL, EIO or ENOSPC at one system call of it, and what becomes of the device.

What is hit is a whole turn of a device's life. An update: it starts with version 1, which it has proven, is told to run
version 2, fetches it over HTTP, proves it, and stops. And a restart in the middle of one, without a network: it has
proven version 1 and knows the order for version 2.
"""

import contextlib
import mmap
import os
import shutil
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge_agent.core.steps import Trial
from edge_agent.store.disk import Disk
from edge_agent.update.updater import Updater
from fleet_contract.report import Phase
from tests.fakes.blob_server import serving
from tests.fakes.device import TRUST, a_desired, an_assignment
from tests.fakes.faults.laws import examine, offline
from tests.fakes.faults.tracer import KILL, Fault, Point, Traced, die_with_parent, trace
from tests.fakes.faults.watched import Claims, Watched, release

_CLAIMS = struct.Struct("iii")
#: Points that only some runs have (a lock that was free, a wait that was short) are tried so often.
_TRIES = 10
#: Nobody listens at it.
_NOWHERE = "http://127.0.0.1:9"
_REJECTED = 3
#: As the service manager's watchdog, to which one that is only slow looks like one that is stuck, too.
_HUNG_SECONDS = 20.0


@dataclass(frozen=True)
class Scenario:
    """What is hit: from the folder `template`, with these `claims` before it begins."""

    template: str
    claims: Claims


UPDATE = Scenario("proven version 1", Claims(ordered=1, running=1, generation=1))
RESTART = Scenario("an order for version 2", Claims(ordered=2, running=1, generation=2))
SCENARIOS = {"update": UPDATE, "restart": RESTART}


@dataclass(frozen=True)
class Outcome:
    """What became of one fault.

    `ended` says how the process came out of it: "went on", "ended", "killed", "hung" (until the watchdog ended it) or
    "rejected" (the release was), "not reached" when the point was not met, and "not there" when other runs do not meet
    it, either. `broken` is the law that does not hold.
    """

    scenario: Scenario
    point: Point
    fault: str
    ended: str
    broken: str | None = None

    def __str__(self) -> str:
        return f"{self.fault} at {self.point} of a device that has {self.scenario.template}"


@dataclass(frozen=True)
class Matrix:
    """Faults, one at a time, in updates below `folder`, with blobs from `url`, through a `disk`."""

    folder: Path
    url: str
    disk: Callable[[], Disk] = Disk

    def prepare(self) -> None:
        """Devices from which each scenario starts, and one update made here: what Python and the runtime load once,
        they load before they are traced."""
        proven, ordered = (self.folder / one.template for one in (UPDATE, RESTART))
        with serving(release(1).blobs | release(2).blobs) as server:
            with Watched(proven, server) as device:
                device.order(1, 1)
                device.wait_until_settled(1)
            shutil.copytree(proven, ordered)
            with offline(server), Watched(ordered, server) as device:
                device.order(2, 2)
                device.wait_until_running()
                device.wait_until_following(2)
            shutil.copytree(proven, self.folder / "traced")
            with Watched(self.folder / "traced", server) as device:
                device.order(2, 2)
                device.wait_until_settled(2)

    def points(self, scenario: Scenario, runs: int = 4) -> list[Point]:
        """The system calls that every one of so many runs has made."""
        folder = self.folder / f"traced-{os.getpid()}"
        seen = [set(self._run(scenario, folder, None, KILL)[0].points) for _ in range(runs)]
        return sorted(set.intersection(*seen))

    def strike(self, scenario: Scenario, point: Point, fault: Fault) -> Outcome:
        """The scenario with `fault` at `point`, and a look at the device afterwards."""
        folder = self.folder / f"case-{os.getpid()}"
        for _ in range(_TRIES):
            traced, claims = self._run(scenario, folder, point, fault)
            if not traced.hit:
                continue
            ended = _ended(traced.status)
            broken = self._look(folder, claims)
            if ended == "rejected":
                broken = "a release that is good was rejected for good: " + (broken or "it was taken on asking again")
            return Outcome(scenario, point, fault.name, ended, broken)
        # How often the allocator gives back memory hangs on the heap, which is another in each process: what is not
        # there when it is looked for again, not every update does.
        still_there = point in self.points(scenario)
        return Outcome(scenario, point, fault.name, "not reached" if still_there else "not there")

    def _run(self, scenario: Scenario, folder: Path, point: Point | None, fault: Fault) -> tuple[Traced, Claims]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder / scenario.template, folder)
        with mmap.mmap(-1, _CLAIMS.size) as said, _watchdog():
            _say(said, scenario.claims)
            traced = trace(lambda: self._carry_out(scenario, folder, said), point, fault)
            return traced, Claims(*_CLAIMS.unpack(said[:]))

    def _carry_out(self, scenario: Scenario, folder: Path, said: mmap.mmap) -> None:
        """In the traced process. What it claims goes to shared memory, by no system call."""
        update = scenario == UPDATE
        url = self.url if update else _NOWHERE
        updater = Updater(folder, TRUST, url, trial=Trial(seconds=0.0), disk=self.disk())
        stop = threading.Event()
        claims = scenario.claims
        phase = None

        def tell() -> None:
            nonlocal claims, phase
            claims = claims.and_said(updater)
            model = next(iter(updater.state().models), None)
            phase = None if model is None else model.phase
            if claims.running and not stop.is_set():
                _say(said, claims)
            if update and claims.ordered == 1 and claims.running == 1:
                claims = replace(claims, ordered=2)
                _say(said, claims)
                updater.receive(ORDER)
            elif phase is Phase.REJECTED or (
                (phase is Phase.SETTLED and claims.running == 2) if update else claims.running
            ):
                stop.set()

        updater.on_change = tell
        updater.run(stop)
        if phase is Phase.REJECTED:
            os._exit(_REJECTED)

    def _look(self, folder: Path, claims: Claims) -> str | None:
        def look() -> str:
            with serving(release(1).blobs | release(2).blobs) as server:
                return examine(folder, server, claims, 2) or ""

        return in_child(look) or None


ORDER = a_desired(2, an_assignment(release(2).manifest))


def _say(said: mmap.mmap, claims: Claims) -> None:
    said[:] = _CLAIMS.pack(claims.ordered, claims.running, claims.generation)


def _ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        caught = os.WTERMSIG(status)
        return "killed" if caught == signal.SIGKILL else "hung" if caught == signal.SIGALRM else "ended"
    code = os.WEXITSTATUS(status)
    return "went on" if code == 0 else "rejected" if code == _REJECTED else "ended"


@contextlib.contextmanager
def _watchdog() -> Iterator[None]:
    """What the service manager does to an agent that is stuck."""

    def bark(*_: object) -> None:
        for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            os.kill(int(child), signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, _HUNG_SECONDS, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def in_child(run: Callable[[], str]) -> str:
    """What `run` says in a process of its own: this one stays without threads."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        die_with_parent()
        os.close(read)
        try:
            text = run()
        except BaseException as error:  # noqa: BLE001, it is said outside
            text = f"{type(error).__name__}: {error}"
        with os.fdopen(write, "w") as pipe:
            pipe.write(text)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text if status == 0 else f"the process that looked ended with {status}: {text}"
