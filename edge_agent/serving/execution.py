"""One run of a model for one call, or for several that go together; and what is told to whom afterwards."""

import logging
import time
from collections.abc import Mapping, Sequence

from edge_agent.core.batching import ALONE
from edge_agent.live import Lease
from edge_agent.runtimes.session import Array, InferenceFailed
from edge_agent.serving.jobs import Job
from edge_agent.serving.port import Answered, ModelUnready, ServingError
from edge_agent.serving.served import Served
from edge_agent.telemetry.tally import Seen, Tally
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest

_log = logging.getLogger(__name__)


class Outcome:
    """What came of a job, not told to its caller yet. `seen` is for telemetry, when the model answered."""

    __slots__ = ("job", "result", "seen")

    def __init__(self, job: Job, result: Answered | VedetteError, seen: Seen | None = None) -> None:
        self.job = job
        self.result = result
        self.seen = seen


class Execution:
    """Runs jobs and delivers what came of them. Safe for any number of threads."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def run(self, served: Served, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcome of each job; all are of one model. Raises nothing."""
        began_ns = time.perf_counter_ns()
        try:
            lease = served.slot.begin()
        except VedetteError as error:
            _log.error("%s cannot be loaded again: %s", jobs[0].call.model, error.because)
            return [Outcome(job, ModelUnready(f"The model cannot be loaded again: {error.what}")) for job in jobs]
        if lease is None:
            return [Outcome(job, ModelUnready(f"Model {job.call.model!r} is not live any more.")) for job in jobs]
        manifest = lease.loaded.manifest
        refused: list[Outcome] = []
        if any(job.signature.manifest is not manifest for job in jobs):
            refused = [Outcome(job, why) for job in jobs if (why := _unfit(served, job, manifest)) is not None]
            jobs = [job for job in jobs if all(job is not one.job for one in refused)]
            if not jobs:
                served.slot.end(lease)
                return refused
        outcomes = self._leased(served, jobs, lease, began_ns)
        return outcomes + refused

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Tells the callers, then telemetry."""
        for outcome in outcomes:
            seen, job = outcome.seen, outcome.job
            if seen is not None and job.call.lent:
                # After the answer this memory is the caller's again.
                seen.inputs = self._copied(seen, job.call.inputs)
            try:
                job.done(outcome.result)
            except Exception:  # noqa: BLE001, whoever breaks it must not end a worker
                _log.exception("An answer could not be handed over.")
            if seen is not None:
                if not job.call.lent and self._tally.wants(seen.manifest, job.call.inputs):
                    seen.inputs = job.call.inputs
                self._tally.answered(seen)

    def _leased(self, served: Served, jobs: Sequence[Job], lease: Lease, began_ns: int) -> list[Outcome]:
        """Runs all that fit the model together, or one by one when that fails; ends the lease."""
        failed = len(jobs)
        try:
            outcomes = self._together(served, jobs, lease, began_ns) if len(jobs) > 1 else None
            if outcomes is None:
                outcomes = [self._alone(served, job, lease, began_ns) for job in jobs]
            failed = sum(one.job.rows for one in outcomes if one.seen is None)
        finally:
            answered = sum(job.rows for job in jobs) - failed
            served.slot.end(lease, answered=answered, failed=failed)
        return outcomes

    def _alone(self, served: Served, job: Job, lease: Lease, began_ns: int) -> Outcome:
        manifest = lease.loaded.manifest
        run_ns = time.perf_counter_ns()
        try:
            outputs = lease.loaded.session.run(job.call.inputs)
        except Exception as error:  # noqa: BLE001, see below
            ended_ns = time.perf_counter_ns()
            told = _told(error)
            served.ledger.failed(manifest.version, began_ns - job.asked_ns, ended_ns - job.asked_ns)
            self._tally.failed(manifest, told.code, records=job.rows)
            return Outcome(job, told)
        ended_ns = time.perf_counter_ns()
        served.took(manifest, ended_ns - run_ns)
        served.ledger.executed(manifest.version, job.rows, run_ns - began_ns, ended_ns - run_ns, 0)
        return self._answered(served, job, lease, outputs, began_ns, run_ns, ended_ns)

    def _together(self, served: Served, jobs: Sequence[Job], lease: Lease, began_ns: int) -> list[Outcome] | None:
        """The outcomes of one run for all, or None when they have to go one by one: one bad record must not fail the
        others, and a model that keeps no rows apart cannot be shared."""
        from edge_agent.serving.rows import joined, parted

        manifest = lease.loaded.manifest
        rows = [job.rows for job in jobs]
        inputs = joined([job.call.inputs for job in jobs])
        run_ns = time.perf_counter_ns()
        try:
            outputs = lease.loaded.session.run(inputs)
        except Exception as error:  # noqa: BLE001, see below
            _log.debug("A batch of %d calls goes one by one: %s", len(jobs), error)
            return None
        ended_ns = time.perf_counter_ns()
        parts = parted(outputs, rows)
        if parts is None:
            _log.warning("Model %s does not give a row for each row: its calls are not batched.", manifest.model)
            served.bounds = ALONE
            return None
        split_ns = time.perf_counter_ns()
        served.ledger.executed(manifest.version, sum(rows), run_ns - began_ns, ended_ns - run_ns, split_ns - ended_ns)
        return [
            self._answered(served, job, lease, part, began_ns, run_ns, ended_ns)
            for job, part in zip(jobs, parts, strict=True)
        ]

    def _answered(
        self,
        served: Served,
        job: Job,
        lease: Lease,
        outputs: Mapping[str, Array],
        began_ns: int,
        run_ns: int,
        ended_ns: int,
    ) -> Outcome:
        manifest = lease.loaded.manifest
        served.ledger.answered(manifest.version, began_ns - job.asked_ns, ended_ns - job.asked_ns)
        scores = job.signature.scores(outputs)
        seen = Seen(served.slot, lease, job.rows, scores, None, (ended_ns - run_ns) / 1000)
        asked = job.call.outputs or job.signature.outputs
        given = {name: outputs[name] for name in asked if name in outputs}
        return Outcome(job, Answered(manifest, given), seen)

    def _copied(self, seen: Seen, inputs: Mapping[str, Array]) -> Mapping[str, Array] | None:
        if not self._tally.wants(seen.manifest, inputs):
            return None
        return {name: array.copy() for name, array in inputs.items()}


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
