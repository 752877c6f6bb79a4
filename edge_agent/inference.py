"""The loop that feeds a model: a record from a source, through the live model, into a window."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from edge_agent.errors import SourceWrong
from edge_agent.live import LiveModel
from edge_agent.runtimes.session import Array
from edge_agent.sources.source import Source
from edge_agent.telemetry.answer import answers
from edge_agent.telemetry.window import Recorder
from fleet_contract.because import Because
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest

_log = logging.getLogger(__name__)
#: How long a source that fails is left alone.
RETRY_SECONDS = 5.0


def wall_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Inference:
    """Feeds one model from one source. `run` has a thread of its own."""

    def __init__(
        self, source: Source, slot: LiveModel, recorder: Recorder, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._source = source
        self._slot = slot
        self._recorder = recorder
        self._on_change = on_change
        self.trouble: Because | None = None
        """Why the source gives nothing, while it does not."""

    def run(self, stop: threading.Event) -> None:
        """Infers until `stop` is set, at the source's pace at most; waits while no model is live."""
        due = time.monotonic()
        of: Manifest | None = None
        records: Iterator[Mapping[str, Array]] | None = None
        while not stop.is_set():
            if not self._slot.wait(1.0):
                continue
            # What was missed is not caught up with: a burst after a pause would say nothing of the device's pace.
            due = max(due + 1.0 / self._source.rate_per_second, time.monotonic())
            if stop.wait(due - time.monotonic()):
                return
            # After the pause and not before: a record for the model of before it would be an error of the next one's.
            manifest = self._slot.manifest
            if manifest is None:
                continue
            if records is None or manifest is not of:
                records, of = self._open(manifest), manifest
                if records is None:
                    stop.wait(RETRY_SECONDS)
                    continue
            self._infer(next(records))

    def _open(self, manifest: Manifest) -> Iterator[Mapping[str, Array]] | None:
        try:
            records = self._source.records(manifest)
        except SourceWrong as error:
            self._tell(error.because)
            return None
        self._tell(None)
        return records

    def _tell(self, trouble: Because | None) -> None:
        if trouble != self.trouble:
            if trouble is not None:
                _log.error("%s", trouble)
            self.trouble = trouble
            self._on_change()

    def _infer(self, inputs: Mapping[str, Array]) -> None:
        manifest: Manifest | None = None
        try:
            with self._slot.lease() as loaded:
                if loaded is None:
                    return
                manifest = loaded.manifest
                began = time.perf_counter_ns()
                outputs = loaded.session.run(inputs)
                latency_us = (time.perf_counter_ns() - began) / 1000
                given = answers(manifest, outputs)
        except VedetteError as error:
            self._failed(manifest, error.code)
        except Exception:  # noqa: BLE001
            # A runtime that breaks its promise must not end the feeding; the gates see what it does.
            _log.exception("inference failed")
            self._failed(manifest, "inference-broken")
        else:
            self._recorder.answered(manifest, inputs, given, latency_us, wall_ms())

    def _failed(self, manifest: Manifest | None, code: str) -> None:
        if manifest is not None:
            self._recorder.failed(manifest, code, wall_ms())
