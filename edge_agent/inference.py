"""The loop that feeds a model: a record from a source, through the engine as any application's, one after the other."""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from edge_agent.errors import SourceWrong
from edge_agent.live import LiveModel
from edge_agent.serving.port import Answered, Call, Engine, InputWrong, ModelUnknown, ModelUnready, Overloaded
from edge_agent.sources.source import GLANCE_SECONDS, Record, Records, Source
from fleet_contract.because import Because
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest

_log = logging.getLogger(__name__)
#: How long a source that fails is left alone.
RETRY_SECONDS = 5.0
#: How long a trouble is told after it was last seen.
HOLD_SECONDS = 5.0
#: How long a record waits for the model that is just being exchanged.
_UNREADY_SECONDS = 0.1


class Inference:
    """Feeds one model from one source. `run` has a thread of its own."""

    def __init__(
        self, source: Source, slot: LiveModel, engine: Engine, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._source = source
        self._slot = slot
        self._engine = engine
        self._on_change = on_change
        self.trouble: Because | None = None
        """Why the source gives nothing, or what is wrong although it does."""
        self._troubled_at = -HOLD_SECONDS
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
                    self._infer(record, manifest, stop)
        finally:
            if records is not None:
                records.close()
            self._source.close()

    def _tell(self, trouble: Because | None) -> None:
        """Takes on what is wrong now. A folder of good and bad pictures must not become a stream of reports: what was
        wrong stays for a while, and another sentence of the same trouble waits for the next report."""
        now = time.monotonic()
        if trouble is not None:
            self._troubled_at = now
        elif now - self._troubled_at < HOLD_SECONDS:
            return
        before, self.trouble = self.trouble, trouble
        if _code(before) != _code(trouble):
            if trouble is not None:
                _log.error("%s", trouble)
            self._on_change()

    def _infer(self, record: Record, manifest: Manifest, stop: threading.Event) -> None:
        # By its version, for it was made for that one.
        call = Call(manifest.model, record.inputs, version=str(manifest.version), truth=record.truth)
        answer: SimpleQueue[Answered | VedetteError] = SimpleQueue()
        while not stop.is_set():
            self.turned_at = time.monotonic()
            self._engine.submit(call, answer.put)
            match answer.get():
                case Answered():
                    record.done(True)
                case Overloaded() as busy:
                    # Applications go first; the source waits, and holds back what comes next.
                    stop.wait(min(busy.retry_after_seconds, GLANCE_SECONDS))
                    continue
                case ModelUnknown() | ModelUnready():
                    # Another version is live by now. What is not done comes again.
                    stop.wait(_UNREADY_SECONDS)
                case InputWrong() as wrong:
                    self._tell(Because("source-wrong", wrong.what))
                    record.done(False)
                case _:
                    record.done(False)
            return


def _code(trouble: Because | None) -> str:
    return "" if trouble is None else trouble.code


def _fault(error: Exception) -> Because:
    if isinstance(error, SourceWrong):
        return error.because
    _log.error("a source failed", exc_info=error)
    return Because("source-broken", f"The source failed: {error!r}.")
