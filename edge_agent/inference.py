"""The loop that feeds a model: a record from a source, through the live model, into a window."""

import logging
import threading
import time
from collections.abc import Callable

from edge_agent.errors import SourceWrong
from edge_agent.live import LiveModel
from edge_agent.sources.source import GLANCE_SECONDS, Record, Records, Source
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
        """Why the source gives nothing, or what is wrong although it does."""
        self.turned_at = time.monotonic()
        """When the loop last turned (monotonic seconds): long ago means that the model or the source hangs it."""

    def run(self, stop: threading.Event) -> None:
        """Infers until `stop` is set, at the source's pace at most; waits while no model is live."""
        due = time.monotonic()
        of: Manifest | None = None
        records: Records | None = None
        try:
            while not stop.is_set():
                self.turned_at = now = time.monotonic()
                if not self._slot.wait(GLANCE_SECONDS):
                    continue
                if now < due:
                    stop.wait(min(due - now, GLANCE_SECONDS))
                    continue
                # After the pause and not before: a record for the model of before it would be an error of the next's.
                manifest = self._slot.manifest
                if manifest is None:
                    continue
                try:
                    if records is None or manifest is not of:
                        if records is not None:
                            records.close()
                        records, of = self._source.records(manifest), manifest
                    record = next(records)
                except Exception as error:  # noqa: BLE001, a source's fault must not end the feeding
                    self._tell(_fault(error))
                    records, due = None, now + RETRY_SECONDS
                    continue
                self._tell(self._source.trouble)
                if record is not None:
                    # What was missed is not caught up with: a burst after a pause would say nothing of the pace.
                    due = max(due + 1.0 / self._source.rate_per_second, now)
                    self._infer(record)
        finally:
            if records is not None:
                records.close()
            self._source.close()

    def _tell(self, trouble: Because | None) -> None:
        if trouble != self.trouble:
            if trouble is not None:
                _log.error("%s", trouble)
            self.trouble = trouble
            self._on_change()

    def _infer(self, record: Record) -> None:
        manifest: Manifest | None = None
        inputs = record.inputs
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
            record.done(False)
        except Exception:  # noqa: BLE001
            # A runtime that breaks its promise must not end the feeding; the gates see what it does.
            _log.exception("inference failed")
            self._failed(manifest, "inference-broken")
            record.done(False)
        else:
            self._recorder.answered(manifest, inputs, given, latency_us, wall_ms())
            record.done(True)

    def _failed(self, manifest: Manifest | None, code: str) -> None:
        if manifest is not None:
            self._recorder.failed(manifest, code, wall_ms())


def _fault(error: Exception) -> Because:
    if isinstance(error, SourceWrong):
        return error.because
    _log.error("a source failed", exc_info=error)
    return Because("source-broken", f"The source failed: {error!r}.")
