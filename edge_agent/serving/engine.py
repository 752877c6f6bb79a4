"""Runs the models for whoever asks, on the thread that asks or on a worker's, and never more than is bounded."""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from edge_agent.core.batching import ALONE, Bounds
from edge_agent.core.journal import key, split
from edge_agent.live import LiveModel
from edge_agent.runtimes.size import bytes_of
from edge_agent.serving.execution import Execution
from edge_agent.serving.jobs import Backlog, Job, Turn
from edge_agent.serving.port import (
    Call,
    Done,
    ModelUnknown,
    ModelUnready,
    Overloaded,
    Statistics,
    Ticket,
)
from edge_agent.serving.residence import Residence
from edge_agent.serving.served import Served
from edge_agent.serving.shadow import Shadow
from edge_agent.serving.signature import Signature
from edge_agent.serving.spare import SpareCycles
from edge_agent.serving.standing import StandingCall
from edge_agent.telemetry.tally import Tally
from fleet_contract.because import Because
from fleet_contract.desired import SHADOW_SLOT
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest

if TYPE_CHECKING:
    # It brings NumPy, which comes with the first model.
    from edge_agent.serving.packed import Packed

_log = logging.getLogger(__name__)

#: Gives the slot of a key ("digits", "digits@shadow"): always the same one, also before anything is known of it.
Slots: TypeAlias = Callable[[str], LiveModel]
#: Names the slots of all models that the device knows of.
Known: TypeAlias = Callable[[], Iterable[str]]
#: Says where the device is with a model.
Why: TypeAlias = Callable[[str], Because | None]

_STOP_SECONDS = 1.0


class ServingEngine:
    """The `Engine` of the models that are `known`, each in its `slot`; what it serves goes into `tally`.

    At most `queue` calls wait, with `queue_max_bytes` of tensors or one call of more, for at most `workers` threads,
    which start when the first is needed. All loaded models together may take `memory_max_bytes`, 0 for no bound.
    Shadows run while `spare` says that there are cycles for it. `why` is told to who asks for a model that is not live,
    and `starting` says that what was live before this start is still being loaded.
    """

    def __init__(
        self,
        slot: Slots,
        known: Known,
        tally: Tally,
        *,
        queue: int = 64,
        queue_max_bytes: int = 64 * 1024 * 1024,
        workers: int = 2,
        memory_max_bytes: int = 0,
        batching: Mapping[str, Bounds] | None = None,
        spare: Callable[[], bool] | None = None,
        why: Why = lambda _: None,
        starting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._slot = slot
        self._known = known
        self._why = why
        self._starting_up = starting
        self._tally = tally
        self._batching = batching or {}
        self._workers = workers
        self._served: dict[str, Served] = {}
        self._backlog: Backlog[Served] = Backlog(queue, queue_max_bytes)
        self._residence = Residence(slot, known, memory_max_bytes)
        cores = len(os.sched_getaffinity(0))
        self._shadow = Shadow(tally, self._at_work, spare or SpareCycles(), cores, self._residence.begin_beside)
        self._execution = Execution(tally, self._shadow, self._residence)
        self._inline = threading.Lock()
        self._starting = threading.Lock()
        self._threads: list[threading.Thread] = []
        # What each worker has taken, in bytes.
        self._at_hand: dict[int, int] = {}
        self._stopped = False

    def submit(self, call: Call, done: Done, patient: bool = False) -> Ticket | None:
        asked_ns = time.perf_counter_ns()
        try:
            if self._stopped:
                raise _stopping()
            served = self._find(call.model)
            signature = self._signature(served, call.version)
            signature.check(call.inputs, call.outputs)
        except VedetteError as error:
            done(error)
            return None
        job = Job(call, signature, signature.rows(call.inputs), asked_ns, done=done)
        if (
            (served.quick or (patient and served.bearable(job.rows)))
            and not served.waiting
            and not served.slot.parked
            and self._inline.acquire(blocking=False)
        ):
            try:
                outcome = self._execution.run(served, job)
            finally:
                self._inline.release()
            self._execution.deliver(served, job, outcome)
            return None
        job.alike, job.size_bytes = served.togetherness(job), bytes_of(call.inputs)
        if not self._put(served, job):
            served.ledger.failed(signature.manifest.version, 0, time.perf_counter_ns() - asked_ns)
            done(self._full(served))
            return None
        return job.slip

    def standing(self, call: Call, packed: "Packed") -> StandingCall | None:
        try:
            served = self._find(call.model)
            signature = self._signature(served, call.version)
            signature.check(call.inputs, call.outputs)
        except VedetteError:
            # Told to whoever submits it.
            return None
        return StandingCall(served, signature, call, packed, self._execution, self._inline, self._put)

    def models(self) -> tuple[str, ...]:
        return tuple(sorted(one for one in self._known() if split(one)[0] == one))

    def awaited(self) -> tuple[str, ...]:
        if self._stopped:
            return self.models()
        return tuple(one for one in self.models() if not self._slot(one).manifest) if self._starting_up() else ()

    def manifest(self, model: str, version: str = "") -> Manifest:
        return self._signature(self._find(model), version).manifest

    def ready(self, model: str, version: str = "") -> bool:
        try:
            self.manifest(model, version)
        except (ModelUnknown, ModelUnready):
            return False
        return not self._stopped

    def statistics(self, model: str) -> Mapping[int, Statistics]:
        return self._find(model).ledger.versions()

    @property
    def held_bytes(self) -> int:
        """What the calls keep in memory that wait, or that a worker has: in a moment of rest it waits with them."""
        return self._backlog.size_bytes + sum(list(self._at_hand.values()))

    def settle(self) -> None:
        """Brings what the models take within the budget again. To be called now and then."""
        self._residence.settle()

    def close(self) -> None:
        """Answers what waits with `ModelUnready`, and lets what runs come to its end, for a second at most."""
        if self._stopped:
            return
        self._stopped = True
        deadline = time.monotonic() + _STOP_SECONDS
        for job in self._backlog.close():
            if isinstance(job, Turn):
                job.begin(False)
            else:
                job.done(_stopping())
        # From now on nothing runs on the thread that asks.
        self._inline.acquire(timeout=_STOP_SECONDS)
        self._shadow.close(max(0.0, deadline - time.monotonic()))
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _find(self, model: str) -> Served:
        served = self._served.get(model)
        if served is None:
            if split(model)[0] != model or model not in self._known():
                raise ModelUnknown(f"There is no model {model!r} here.", "The index names those that there are.")
            challenger = self._slot(key(model, SHADOW_SLOT))
            fresh = Served(model, self._slot(model), challenger, self._batching.get(model, ALONE))
            served = self._served.setdefault(model, fresh)
        return served

    def _signature(self, served: Served, version: str) -> Signature:
        """Of the version that answers now. Raises `ModelUnknown` or `ModelUnready`."""
        manifest = served.slot.manifest
        if manifest is None:
            if served.model not in self._known():
                raise ModelUnknown(f"There is no model {served.model!r} here any more.")
            because = self._why(served.model)
            state = "" if because is None else f" {because.sentence} [{because.code}]"
            raise ModelUnready(
                f"Model {served.model!r} cannot answer yet: no version of it is live.{state}",
                "Ask again in some seconds.",
            )
        signature = served.signature_of(manifest)
        signature.check_version(version)
        return signature

    def _full(self, served: Served) -> VedetteError:
        if self._stopped:
            return _stopping()
        waiting = self._backlog.count
        seconds = math.ceil(waiting * served.typical_ns / 1e9 / self._workers)
        return Overloaded(
            f"{waiting} calls wait already, with {self._backlog.size_bytes:,} bytes of tensors.",
            "Ask again later, or less often.",
            retry_after_seconds=max(1, seconds),
        )

    def _at_work(self) -> int:
        """How many calls wait or run."""
        # A list: meanwhile another thread may find one more.
        return self._backlog.count + sum(one.slot.leases for one in list(self._served.values()))

    def _put(self, served: Served, job: Job | Turn) -> bool:
        """Whether there was room for `job`."""
        if not self._backlog.put(served, job):
            return False
        if len(self._threads) < self._workers:
            self._start_worker()
        return True

    def _start_worker(self) -> None:
        with self._starting:
            # One more only for what the others do not take at once.
            if len(self._threads) < self._workers and self._backlog.count and not self._stopped:
                name = f"worker-{len(self._threads)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    # What waits already is not answered twice for that: those that there are take it, or the next call
                    # tries again.
                    _log.error("No worker can be started: %s", error)
                    return
                self._threads.append(thread)

    def _work(self) -> None:
        # A step of its own, so that who waits for the next call keeps nothing of the last.
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Whether there was something to do before the end."""
        taken = self._backlog.take()
        if taken is None:
            return False
        served, jobs = taken
        me = threading.get_ident()
        if isinstance(jobs, Turn):
            self._at_hand[me] = jobs.fetched_bytes
            jobs.begin(True)
        else:
            self._at_hand[me] = sum(job.size_bytes for job in jobs)
            outcomes = (
                self._execution.run_together(served, jobs) if len(jobs) > 1 else [self._execution.run(served, jobs[0])]
            )
            for job, outcome in zip(jobs, outcomes, strict=True):
                self._execution.deliver(served, job, outcome)
        self._at_hand[me] = 0
        return True


def _stopping() -> ModelUnready:
    return ModelUnready("The agent stops.", "Ask again when it has started again.")
