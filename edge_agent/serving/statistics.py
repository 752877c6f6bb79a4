"""What a model version has done since the agent started, in Triton's terms."""

import threading
import time

import msgspec

#: Of versions of one model. An agent runs for years, and nobody asks about the hundredth version before this one.
KEPT = 16
#: Of sizes of batches of one version. Callers choose them, and there may be any number.
SIZES_KEPT = 64


class Batches(msgspec.Struct):
    """The runs of one number of rows. Durations are summed up over runs, in nanoseconds."""

    count: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0


class Counted(msgspec.Struct):
    """`Statistics` of one version. Durations are summed up over calls, in nanoseconds: each of those that went together
    took as long as all of them."""

    inference_count: int = 0
    execution_count: int = 0
    last_inference_ms: int = 0
    success_count: int = 0
    success_ns: int = 0
    fail_count: int = 0
    fail_ns: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    last_run_ns: int = 0
    """By the performance counter, which is at hand at each run; `Ledger.versions` makes `last_inference_ms` of it."""
    batches: dict[int, Batches] = {}
    """By the number of rows, of the first `SIZES_KEPT` that there were."""


class Ledger:
    """The statistics of one model, by version. Safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[int, Counted] = {}

    def executed(self, version: int, calls: int, rows: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """The model ran once for so many `calls`, of `rows` records together."""
        with self._lock:
            one = self._of(version)
            one.inference_count += rows
            one.execution_count += 1
            one.last_run_ns = time.perf_counter_ns()
            one.compute_input_ns += calls * input_ns
            one.compute_infer_ns += calls * infer_ns
            one.compute_output_ns += calls * output_ns
            batch = one.batches.get(rows) or _sized(one, rows)
            batch.count += 1
            batch.compute_input_ns += input_ns
            batch.compute_infer_ns += infer_ns
            batch.compute_output_ns += output_ns

    def answered(self, version: int, queue_ns: int, total_ns: int) -> None:
        """One call was answered, `total_ns` after it came, of which it waited `queue_ns`."""
        with self._lock:
            one = self._of(version)
            one.success_count += 1
            one.success_ns += total_ns
            one.queue_ns += queue_ns

    def ran_alone(self, version: int, rows: int, asked_ns: int, began_ns: int, run_ns: int, ended_ns: int) -> None:
        """One call was answered by a run of its own: when it came, was begun, reached the model and was answered."""
        with self._lock:
            one = self._versions.get(version) or self._of(version)
            one.inference_count += rows
            one.execution_count += 1
            one.last_run_ns = ended_ns
            one.success_count += 1
            one.success_ns += ended_ns - asked_ns
            one.queue_ns += began_ns - asked_ns
            one.compute_input_ns += run_ns - began_ns
            one.compute_infer_ns += ended_ns - run_ns
            batch = one.batches.get(rows) or _sized(one, rows)
            batch.count += 1
            batch.compute_input_ns += run_ns - began_ns
            batch.compute_infer_ns += ended_ns - run_ns

    def failed(self, version: int, queue_ns: int, total_ns: int) -> None:
        """One call that the model should have answered was not, `total_ns` after it came, of which it waited
        `queue_ns`."""
        with self._lock:
            one = self._of(version)
            one.fail_count += 1
            one.fail_ns += total_ns
            one.queue_ns += queue_ns

    def versions(self) -> dict[int, Counted]:
        """As they are now; they do not change any more."""
        offset_ns = time.time_ns() - time.perf_counter_ns()
        with self._lock:
            return {version: _copy(one, offset_ns) for version, one in self._versions.items()}

    def _of(self, version: int) -> Counted:
        found = self._versions.get(version)
        if found is None:
            found = self._versions[version] = Counted()
            while len(self._versions) > KEPT:
                del self._versions[next(iter(self._versions))]
        return found


def _copy(one: Counted, offset_ns: int) -> Counted:
    last_ms = (one.last_run_ns + offset_ns) // 1_000_000 if one.execution_count else 0
    batches = {rows: msgspec.structs.replace(batch) for rows, batch in one.batches.items()}
    return msgspec.structs.replace(one, last_inference_ms=last_ms, batches=batches)


def _sized(one: Counted, rows: int) -> Batches:
    batch = Batches()
    if len(one.batches) < SIZES_KEPT:
        one.batches[rows] = batch
    return batch
