"""What an application asks again and again, with other numbers each time: looked up and checked once."""

import threading
import time
from collections.abc import Mapping

from edge_agent.live import Lease
from edge_agent.runtimes.session import Array
from edge_agent.serving.execution import Execution
from edge_agent.serving.jobs import Checked
from edge_agent.serving.port import Answered, Call
from edge_agent.serving.served import Served
from edge_agent.serving.signature import Signature
from edge_agent.telemetry.tally import Seen
from fleet_contract.errors import VedetteError


class StandingCall:
    """The like of `call`, whose tensors were found right for `signature`. One thread uses it.

    `inline` is held by whoever runs a model on the thread that asks.
    """

    __slots__ = ("_call", "_execution", "_inline", "_inputs", "_rows", "_seen", "_served", "_signature")

    def __init__(
        self, served: Served, signature: Signature, call: Call, execution: Execution, inline: threading.Lock
    ) -> None:
        self._served = served
        self._signature = signature
        self._call = call
        self._rows = signature.rows(call.inputs)
        self._execution = execution
        self._inline = inline
        self._seen: Seen | None = None
        self._inputs: Mapping[str, Array] = {}

    def run(self, inputs: Mapping[str, Array], patient: bool) -> Answered | VedetteError | None:
        """The answer for `inputs`, of the names, dtypes and shapes of the call's. None where it is to be submitted:
        another version is live, it became slow, others wait, or the engine is closed."""
        asked_ns = time.perf_counter_ns()
        served = self._served
        slot = served.slot
        if (
            slot.manifest is not self._signature.manifest
            or not (served.quick or (patient and served.bearable(self._rows)))
            or served.waiting
            or slot.parked
            or not self._inline.acquire(blocking=False)
        ):
            return None
        try:
            lease = self._execution.begin(served, self._signature)
            if not isinstance(lease, Lease):
                return lease
            if lease.loaded.manifest is not self._signature.manifest:
                slot.end(lease)
                return None
            call = Call(self._call.model, inputs, self._call.outputs)
            checked = Checked(call, self._signature, self._rows, asked_ns)
            outcome = self._execution.alone(served, checked, lease, asked_ns)
        finally:
            self._inline.release()
        self._seen, self._inputs = outcome.seen, inputs
        return outcome.result

    def sent(self) -> None:
        """The caller has its answer: now telemetry hears of it."""
        if self._seen is not None:
            self._execution.count(self._served, self._seen, self._inputs)
            self._seen, self._inputs = None, {}
