"""What an application asks again and again, with other numbers each time: looked up and checked once."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edge_agent.live import Lease
from edge_agent.runtimes.session import Array, BearsChange
from edge_agent.serving.execution import Execution
from edge_agent.serving.jobs import Slip, Turn
from edge_agent.serving.port import Answered, Call
from edge_agent.serving.served import Served
from edge_agent.serving.signature import Signature
from edge_agent.telemetry.streak import Streak
from edge_agent.telemetry.tally import Draws
from fleet_contract.errors import VedetteError

if TYPE_CHECKING:
    # They bring NumPy, which comes with the first model.
    from edge_agent.serving.bound import BoundCall, BoundInPlace
    from edge_agent.serving.desk import Place
    from edge_agent.serving.in_place import Laid
    from edge_agent.serving.packed import Packed

_log = logging.getLogger(__name__)


class StandingCall:
    """The like of `call`, whose tensors were found right for `signature`, and lie as `packed` says. One thread at a
    time uses it.

    What need not be done before the answer is on its way is done in `sent`, and what leaves an object behind for each
    call is avoided: for a model of 5 microseconds, each is a percent. `inline` is held by whoever runs a model on the
    thread that asks; `put` has another wait for a worker, if there is room.
    """

    __slots__ = (
        "_asked_ns",
        "_bears_change",
        "_began_ns",
        "_bound",
        "_ended_ns",
        "_execution",
        "_inline",
        "_inputs",
        "_lease",
        "_may_bind",
        "_outputs",
        "_over",
        "_packed",
        "_place",
        "_put",
        "_rows",
        "_run_ns",
        "_scores",
        "_served",
        "_signature",
        "_streak",
        "_there",
        "_tried",
        "_wanted",
    )

    def __init__(
        self,
        served: Served,
        signature: Signature,
        call: Call,
        packed: "Packed",
        execution: Execution,
        inline: threading.Lock,
        put: Callable[[Served, Turn], bool],
    ) -> None:
        self._served = served
        self._signature = signature
        self._outputs = call.outputs
        self._packed = packed
        self._rows = signature.rows(call.inputs)
        self._execution = execution
        self._inline = inline
        self._put = put
        self._place: Place | None = None
        self._lease: Lease | None = None
        self._over = False
        self._bound: BoundCall | None = None
        self._may_bind = True
        self._bears_change: bool | None = None
        """Whether the session of the lease may be given what changes while it runs; None until that is asked."""
        self._there: BoundInPlace | None = None
        self._tried: Laid | None = None
        self._streak: Streak | None = None
        self._asked_ns = self._began_ns = self._run_ns = self._ended_ns = 0
        self._wanted: bool | Draws | None = None
        """Whether telemetry is to have the tensors of the next run, where that was asked before it."""
        self._inputs: Mapping[str, Array] | None = None
        self._scores: Array | None = None

    @property
    def over(self) -> bool:
        """As `port.Standing` says."""
        return self._over or self._served.slot.manifest is not self._signature.manifest

    def ready(self, patient: bool) -> bool:
        """Whether there is a point in `run`: it became slow or others wait, where there is none."""
        served = self._served
        return (served.quick or (patient and served.bearable(self._rows))) and not served.waiting

    def run(self, data: bytes | memoryview, patient: bool) -> Answered | VedetteError | None:
        """The answer for the tensors in `data`. None where they are to be submitted: another version is live, it became
        slow, others wait, or the engine is closed."""
        if self._ended_ns:
            self.sent()
        lease = self._start(patient)
        if not isinstance(lease, Lease):
            return lease
        try:
            if (bound := self._bound) is not None:
                try:
                    bound.run(data)
                except Exception:  # noqa: BLE001, of whatever this is the ordinary way knows more
                    self._bound = None
                else:
                    self._ended_ns = time.perf_counter_ns()
                    self._inputs, self._scores = bound.inputs, bound.scores
                    return bound.answered
            return self._answer(lease, data)
        finally:
            self._inline.release()

    def waits(self, patient: bool) -> bool:
        """As `port.Standing` says. Calls that go together need their tensors first; and who asks a quick model on the
        connection of a slow one would wait with that."""
        served = self._served
        return not (self.ready(patient) or self.over or served.slot.parked or served.bounds.max_rows > 1 or served.slow)

    def wait(self, begin: Callable[[bool], None]) -> Slip | None:
        """As `port.Standing` says."""
        turn = Turn(begin, self._packed.size_bytes)
        self._asked_ns = time.perf_counter_ns()
        return turn.slip if self._put(self._served, turn) else None

    def room_next(self, before: int) -> memoryview | None:
        """As `port.Standing` says."""
        lease = self._lease
        if lease is None:
            return None
        place = self._execution.desk().place(lease.loaded, self._packed)
        room = place.room(before)
        self._place = None if room is None else place
        return room

    def run_next(self, data: bytes | memoryview) -> Answered | VedetteError | None:
        """As `port.Standing` says."""
        self._began_ns = time.perf_counter_ns()
        place, self._place = self._place, None
        lease = self._again()
        if not isinstance(lease, Lease):
            return lease
        if place is None:
            return self._answer(lease, data, self._execution.desk().place(lease.loaded, self._packed))
        if (bound := place.bound) is not None:
            try:
                bound.run_read()
            except Exception:  # noqa: BLE001, as above
                place.clear()
            else:
                self._ended_ns = time.perf_counter_ns()
                self._inputs, self._scores = bound.inputs, bound.scores
                return bound.answered
        return self._answer(lease, data)

    def run_in_place(self, laid: "Laid", patient: bool) -> Answered | VedetteError | None:
        """As `port.Standing` says."""
        if self._ended_ns:
            self.sent()
        if self._bears_change is False:
            return None
        self._wanted = self._execution.wants(self._signature.manifest, laid.inputs, self._rows)
        if self._wanted or self._execution.compares(self._served):
            return None
        lease = self._start(patient)
        if not isinstance(lease, Lease):
            return lease
        try:
            if self._bears_change is None:
                session = lease.loaded.session
                self._bears_change = isinstance(session, BearsChange) and session.bears_change()
            if not self._bears_change:
                self._served.slot.end(lease)
                return None
            if (bound := self._there) is not None and bound.laid is laid:
                try:
                    bound.run()
                except Exception:  # noqa: BLE001, as above
                    self._there = None
                else:
                    self._ended_ns = time.perf_counter_ns()
                    self._scores = bound.scores
                    return bound.answered
            return self._answer_in_place(lease, laid)
        finally:
            self._inline.release()

    def sent(self) -> None:
        """The caller has its answer: now it is counted."""
        if not self._ended_ns:
            return
        lease, served, manifest = self._lease, self._served, self._signature.manifest
        assert lease is not None, "it has run under one"
        run_ns, ended_ns, self._ended_ns = self._run_ns, self._ended_ns, 0
        served.slot.end(lease, answered=self._rows)
        served.took(manifest, ended_ns - run_ns)
        served.ledger.ran_alone(manifest.version, self._rows, self._asked_ns, self._began_ns, run_ns, ended_ns)
        self._streak = self._execution.count_alike(
            served,
            lease,
            self._rows,
            self._streak,
            self._inputs,
            self._scores,
            (ended_ns - run_ns) / 1000,
            self._wanted,
        )
        self._wanted = None
        # A connection that rests keeps no tensors: those from shared memory may be megabytes.
        self._inputs = self._scores = None

    def _start(self, patient: bool) -> Lease | VedetteError | None:
        """A lease, with `inline` held until the caller releases it; else as `run`."""
        if not self.ready(patient) or not self._inline.acquire(False):
            return None
        found: Lease | VedetteError | None = None
        try:
            self._asked_ns = self._began_ns = time.perf_counter_ns()
            found = self._again()
        finally:
            if not isinstance(found, Lease):
                self._inline.release()
        return found

    def _again(self) -> Lease | VedetteError | None:
        """A lease for one more run; else as `run`."""
        found: Lease | VedetteError | None = None
        lease = self._lease
        if lease is None:
            found = self._begin()
        elif self._served.slot.again(lease):
            found = lease
        else:
            self._over = True
        self._run_ns = time.perf_counter_ns()
        return found

    def _begin(self) -> Lease | VedetteError | None:
        """The first lease. None where what is live is not what was checked."""
        slot = self._served.slot
        if slot.manifest is not self._signature.manifest or slot.parked:
            return None
        lease = self._execution.begin(self._served, self._signature)
        if isinstance(lease, Lease):
            if lease.loaded.manifest is not self._signature.manifest:
                slot.end(lease)
                return None
            self._lease = lease
        return lease

    def _answer(
        self, lease: Lease, data: bytes | memoryview, place: "Place | None" = None
    ) -> Answered | VedetteError | None:
        """In the ordinary way, of which `place` is told. Ends `lease` unless there is an answer; then `sent` does."""
        inputs = self._packed.views(data)
        if inputs is None:
            self._served.slot.end(lease)
            return None
        outputs = self._outputs_of(lease, inputs)
        if isinstance(outputs, VedetteError):
            return outputs
        answered = Answered(self._signature.manifest, self._signature.given(outputs, self._outputs))
        self._inputs, self._scores = inputs, self._signature.scores(outputs)
        if place is not None:
            place.ran(self._signature, data, outputs, answered)
        if self._may_bind and self._served.quick:
            # Once: what cannot be bound now never can.
            self._may_bind = False
            from edge_agent.serving.bound import bind

            try:
                self._bound = bind(lease.loaded.session, self._signature, self._packed, data, outputs, answered)
            except Exception:  # noqa: BLE001, it was answered already
                _log.exception("Calls of %s are not bound.", self._served.model)
            if self._bound is not None:
                # It has answered the same.
                self._inputs, self._scores = self._bound.inputs, self._bound.scores
        return answered

    def _answer_in_place(self, lease: Lease, laid: "Laid") -> Answered | VedetteError:
        """The same, and nothing is kept of what will not be for long what it was."""
        outputs = self._outputs_of(lease, laid.inputs)
        if isinstance(outputs, VedetteError):
            return outputs
        answered = Answered(self._signature.manifest, self._signature.given(outputs, self._outputs))
        self._scores = self._signature.scores(outputs)
        if self._tried is not laid:
            # Once for each place.
            self._tried = laid
            from edge_agent.serving.bound import bind_in_place

            try:
                self._there = bind_in_place(lease.loaded.session, self._signature, laid, outputs, answered)
            except Exception:  # noqa: BLE001, as above
                _log.exception("Calls of %s are not bound in place.", self._served.model)
        return answered

    def _outputs_of(self, lease: Lease, inputs: dict[str, Array]) -> dict[str, Array] | VedetteError:
        """What a run gives; an error ends `lease`."""
        try:
            outputs = lease.loaded.session.run(inputs)
        except Exception as error:  # noqa: BLE001, see `Execution.failed`
            return self._execution.failed(
                self._served, self._signature, self._rows, lease, self._asked_ns, self._began_ns, self._run_ns, error
            )
        self._ended_ns = time.perf_counter_ns()
        return outputs
