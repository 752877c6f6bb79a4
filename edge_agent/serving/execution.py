"""One run of a model for one call, or for several that go together; and what is told to whom afterwards."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from edge_agent.core.batching import ALONE
from edge_agent.live import Lease
from edge_agent.runtimes.session import Array, InferenceFailed, InputUnfit
from edge_agent.serving.jobs import Checked, Job
from edge_agent.serving.port import Answered, InputWrong, ModelUnready, ServingError
from edge_agent.serving.residence import Residence
from edge_agent.serving.served import Served
from edge_agent.serving.shadow import Shadow
from edge_agent.serving.signature import Signature
from edge_agent.telemetry.streak import Streak
from edge_agent.telemetry.tally import Draws, Seen, Tally
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest

if TYPE_CHECKING:
    from edge_agent.serving.desk import Desk

_log = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True, eq=False):
    """What came of a call, not told to its caller yet. `seen` is for telemetry, when the model answered."""

    result: Answered | VedetteError
    seen: Seen | None = None


class Execution:
    """Runs jobs and delivers what came of them. Safe for any number of threads.

    What is done for each call is written out here in few steps: for a model that takes 10 microseconds, a function
    more is a percent.
    """

    def __init__(self, tally: Tally, shadow: Shadow, residence: Residence) -> None:
        self._tally = tally
        self._shadow = shadow
        self._residence = residence
        self._desks = threading.local()

    def desk(self) -> "Desk":
        """The one of the thread that asks."""
        mine: Desk | None = getattr(self._desks, "mine", None)
        if mine is None:
            # It brings NumPy, which comes with the first model.
            from edge_agent.serving import desk

            mine = self._desks.mine = desk.Desk()
        return mine

    def run(self, served: Served, job: Job) -> Outcome:
        """The outcome of one job. Raises nothing."""
        began_ns = time.perf_counter_ns()
        lease = self.begin(served, job.signature)
        if not isinstance(lease, Lease):
            return Outcome(lease)
        if job.signature.manifest is not lease.loaded.manifest:
            refused = _unfit(served, job, lease.loaded.manifest)
            if refused is not None:
                served.slot.end(lease)
                return Outcome(refused)
        return self.alone(served, job, lease, began_ns)

    def run_together(self, served: Served, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcome of each job; all are alike. Raises nothing.

        They go one by one when they cannot go together: one bad record must not fail the others, and a model that does
        not keep rows apart cannot be shared.
        """
        began_ns = time.perf_counter_ns()
        lease = self.begin(served, jobs[0].signature)
        if not isinstance(lease, Lease):
            return [Outcome(lease) for _ in jobs]
        outcomes = None
        if jobs[0].signature.manifest is lease.loaded.manifest:
            outcomes = self._shared(served, jobs, lease, began_ns)
        served.slot.end(lease, answered=0 if outcomes is None else sum(job.rows for job in jobs))
        return [self.run(served, job) for job in jobs] if outcomes is None else outcomes

    def deliver(self, served: Served, job: Job, outcome: Outcome) -> None:
        """Tells the caller, then telemetry and the shadow."""
        try:
            job.done(outcome.result)
        except Exception:  # noqa: BLE001, whoever breaks it must not end a worker
            _log.exception("An answer could not be handed over.")
        if outcome.seen is not None:
            self.count(served, outcome.seen, job.call.inputs)

    def count(self, served: Served, seen: Seen, inputs: Mapping[str, Array]) -> None:
        """Tells telemetry and the shadow of an answer that its caller has. Raises nothing."""
        try:
            self._shadow.hears(seen.latency_us)
            if wanted := self._tally.wants(seen.manifest, inputs, seen.rows):
                seen.keep(inputs, wanted)
            self._tell(served, seen, inputs)
        except Exception:  # noqa: BLE001, such as that no thread can be started; the caller must not be told twice
            _log.exception("An answer could not be counted.")

    def count_alike(
        self,
        served: Served,
        lease: Lease,
        rows: int,
        streak: Streak | None,
        inputs: Mapping[str, Array] | None,
        scores: Array | None,
        latency_us: float,
        wanted: bool | Draws | None,
    ) -> Streak | None:
        """The same for a call that is like the one before, whose arrays will be written to again. `streak` is what the
        one before came back with, `wanted` what `wants` said of this one, None if it was not asked; `inputs`
        are None if they are gone. Raises nothing."""
        try:
            self._shadow.hears(latency_us)
            manifest = lease.loaded.manifest
            if wanted is None and inputs is not None:
                wanted = self._tally.wants(manifest, inputs, rows)
            if inputs is None or not (wanted or self.compares(served)):
                if streak is None:
                    streak = self._tally.streak(served.slot, lease, rows, scores)
                if streak is not None and streak.add(scores, latency_us):
                    return streak
            seen = Seen(served.slot, lease, manifest, rows, None if scores is None else scores.copy(), None, latency_us)
            if inputs is None:
                self._tally.answered(seen)
                return streak
            kept = {name: one.copy() for name, one in inputs.items()}
            seen.keep(kept, wanted or False)
            self._tell(served, seen, kept)
        except Exception:  # noqa: BLE001, as above
            _log.exception("An answer could not be counted.")
        return streak

    def wants(self, manifest: Manifest, inputs: Mapping[str, Array], rows: int) -> bool | Draws:
        """Whether telemetry is to look at the `inputs` of `rows` records after their answer. To be asked once for each
        call, if at all."""
        return self._tally.wants(manifest, inputs, rows)

    def compares(self, served: Served) -> bool:
        """Whether a shadow is to have the next call."""
        return self._shadow.wants(served.challenger)

    def begin(self, served: Served, signature: Signature) -> Lease | VedetteError:
        """A lease of what is live now, for a call that was checked against `signature`. Raises nothing."""
        try:
            parked = served.slot.parked
            lease = self._residence.begin(served.model, served.slot) if parked else served.slot.begin()
        except VedetteError as error:
            _log.error("%s cannot be loaded again: %s", served.model, error.because)
            self._tally.failed(signature.manifest, error.code)
            return ModelUnready(f"Model {served.model!r} cannot be loaded again: {error.what}")
        return lease or ModelUnready(f"Model {served.model!r} is not live any more.", "Ask again in some seconds.")

    def alone(self, served: Served, checked: Checked, lease: Lease, began_ns: int) -> Outcome:
        """The outcome of one call, which was checked against what `lease` is of. Ends the lease. Raises nothing."""
        manifest, rows, asked_ns = checked.signature.manifest, checked.rows, checked.asked_ns
        run_ns = time.perf_counter_ns()
        try:
            outputs = lease.loaded.session.run(checked.call.inputs)
        except Exception as error:  # noqa: BLE001, see `failed`
            return Outcome(self.failed(served, checked.signature, rows, lease, asked_ns, began_ns, run_ns, error))
        ended_ns = time.perf_counter_ns()
        served.slot.end(lease, answered=rows)
        served.took(manifest, ended_ns - run_ns)
        served.ledger.ran_alone(manifest.version, rows, asked_ns, began_ns, run_ns, ended_ns)
        return _answered(served, checked, lease, outputs, (ended_ns - run_ns) / 1000)

    def failed(
        self,
        served: Served,
        signature: Signature,
        rows: int,
        lease: Lease,
        asked_ns: int,
        began_ns: int,
        run_ns: int,
        error: Exception,
    ) -> VedetteError:
        """Counts a run under `lease` that ended in `error`, and ends it. What is to be told."""
        ended_ns = time.perf_counter_ns()
        manifest = signature.manifest
        if isinstance(error, InputUnfit):
            # Nobody's fault but the caller's: the model was not asked, and is not judged by it.
            served.slot.end(lease)
            served.ledger.failed(manifest.version, began_ns - asked_ns, ended_ns - asked_ns)
            return InputWrong(error.what)
        served.slot.end(lease, failed=rows)
        if ended_ns - run_ns > served.typical_ns:
            # It may fail slowly, too; that it fails fast says nothing.
            served.took(manifest, ended_ns - run_ns)
        told = _told(error)
        served.ledger.failed(manifest.version, began_ns - asked_ns, ended_ns - asked_ns)
        self._tally.failed(manifest, told.code, records=rows)
        return told

    def _tell(self, served: Served, seen: Seen, inputs: Mapping[str, Array]) -> None:
        self._tally.answered(seen)
        if self._shadow.wants(served.challenger):
            self._shadow.offer(served.challenger, seen, inputs)

    def _shared(self, served: Served, jobs: Sequence[Job], lease: Lease, began_ns: int) -> list[Outcome] | None:
        """The outcomes of one run for all, or None when there are none."""
        # NumPy comes with the first model, not with the agent.
        from edge_agent.serving.rows import joined, parted

        manifest, ledger = lease.loaded.manifest, served.ledger
        rows = [job.rows for job in jobs]
        inputs = joined([job.call.inputs for job in jobs])
        run_ns = time.perf_counter_ns()
        try:
            outputs = lease.loaded.session.run(inputs)
        except Exception as error:  # noqa: BLE001, whose it is shows when they go one by one
            _log.debug("A batch of %d calls of %s goes one by one: %s", len(jobs), served.model, error)
            return None
        ended_ns = time.perf_counter_ns()
        parts = parted(outputs, rows)
        if parts is None:
            _log.warning("Model %s does not give a row for each row: its calls are not batched.", served.model)
            served.bounds = ALONE
            return None
        output_ns = time.perf_counter_ns() - ended_ns
        ledger.executed(manifest.version, len(jobs), sum(rows), run_ns - began_ns, ended_ns - run_ns, output_ns)
        for job in jobs:
            ledger.answered(manifest.version, began_ns - job.asked_ns, ended_ns - job.asked_ns)
        latency_us = (ended_ns - run_ns) / 1000
        return [_answered(served, job, lease, part, latency_us) for job, part in zip(jobs, parts, strict=True)]


def _answered(
    served: Served, checked: Checked, lease: Lease, outputs: Mapping[str, Array], latency_us: float
) -> Outcome:
    call, signature = checked.call, checked.signature
    given = signature.given(outputs, call.outputs)
    manifest, scores = signature.manifest, signature.scores(outputs)
    seen = Seen(served.slot, lease, manifest, checked.rows, scores, None, latency_us, truth=call.truth)
    return Outcome(Answered(manifest, given), seen)


def _unfit(served: Served, job: Job, manifest: Manifest) -> ServingError | None:
    """Why a job that was checked against the model of before cannot go to this one."""
    signature = served.signature_of(manifest)
    try:
        signature.check_version(job.call.version)
        signature.check(job.call.inputs, job.call.outputs)
    except ServingError as error:
        return error
    job.signature = signature
    return None


def _told(error: Exception) -> VedetteError:
    if isinstance(error, VedetteError):
        return error
    # A runtime that breaks its promise must not end the serving; the gates see what it does.
    _log.error("Inference failed.", exc_info=error)
    return InferenceFailed(f"The runtime failed: {error!r}.", code="inference-broken")
