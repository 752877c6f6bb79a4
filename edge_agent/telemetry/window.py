"""Adds up what a model does, in windows: one model version each, some seconds each."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from edge_agent.runtimes.session import Array
from edge_agent.telemetry import features
from edge_agent.telemetry.answer import Answer
from fleet_contract.histogram import bin_of, latency_bucket
from fleet_contract.manifest import Manifest
from fleet_contract.telemetry import Window


class _Open:
    """A window that is being filled."""

    def __init__(self, manifest: Manifest, now_ms: int) -> None:
        self.manifest = manifest
        self.started_at_ms = now_ms
        self.count = 0
        self.latency: Counter[int] = Counter()
        self.predictions: Counter[str] = Counter()
        self.confidence = [0] * len(manifest.reference.confidence.counts)
        self.features = {name: [0] * len(one.counts) for name, one in manifest.reference.features.items()}
        self.error_codes: Counter[str] = Counter()

    def closed(self, now_ms: int) -> Window:
        return Window(
            sequence=0,
            model=self.manifest.model,
            version=self.manifest.version,
            digest=self.manifest.artifact.digest,
            started_at_ms=self.started_at_ms,
            # A clock that is set back must not make a window that ends before it starts.
            ended_at_ms=max(now_ms, self.started_at_ms),
            count=self.count,
            errors=self.error_codes.total(),
            latency=dict(self.latency),
            predictions=dict(self.predictions),
            confidence=tuple(self.confidence),
            features={name: tuple(counts) for name, counts in self.features.items()},
            error_codes=dict(self.error_codes),
        )


class Recorder:
    """The windows that are open, at most one for each model version. Safe for any number of threads.

    Times come from the caller, in milliseconds of Unix time. Windows carry no sequence yet (0): the spool gives it.
    """

    on_due: Callable[[], None]
    """Called when `due_ms` has become earlier: a window has opened, or a switch of model has closed one."""

    def __init__(self, window_ms: int) -> None:
        self.on_due = lambda: None
        self._window_ms = window_ms
        self._lock = threading.Lock()
        self._open: dict[tuple[str, int, str], _Open] = {}
        self._closed: list[Window] = []

    def answered(
        self, manifest: Manifest, inputs: Mapping[str, Array], given: Sequence[Answer], latency_us: float, now_ms: int
    ) -> None:
        """Counts the records of one call, a row of `inputs` and an answer each, which took `latency_us`."""
        reference = manifest.reference
        # Outside the lock: this is the work that grows with the input.
        values = [
            (name, [features.value(name, inputs, row) for row in range(len(given))]) for name in reference.features
        ]
        with self._lock:
            window, new = self._window(manifest, now_ms)
            window.count += len(given)
            window.latency[latency_bucket(latency_us)] += len(given)
            for one in given:
                window.predictions[one.label] += 1
                window.confidence[bin_of(reference.confidence.edges, one.confidence)] += 1
            for name, column in values:
                edges, counts = reference.features[name].edges, window.features[name]
                for value in column:
                    if value is not None:
                        counts[bin_of(edges, value)] += 1
        if new:
            self.on_due()

    def failed(self, manifest: Manifest, code: str, now_ms: int) -> None:
        """Counts one record that the model could not answer."""
        with self._lock:
            window, new = self._window(manifest, now_ms)
            window.error_codes[code] += 1
        if new:
            self.on_due()

    def collect(self, now_ms: int, *, everything: bool = False) -> list[Window]:
        """The windows that closed since the last call, by time or by a switch of model; or all there are."""
        with self._lock:
            for key, window in list(self._open.items()):
                if everything or self._is_due(window, now_ms):
                    self._close(key, now_ms)
            closed, self._closed = self._closed, []
            return closed

    def due_ms(self) -> int | None:
        """When the next window closes by time; None when none is open."""
        with self._lock:
            if self._closed:
                return 0
            return min((one.started_at_ms + self._window_ms for one in self._open.values()), default=None)

    def _window(self, manifest: Manifest, now_ms: int) -> tuple[_Open, bool]:
        """The window for a record of now, and whether it has just been opened."""
        key = (manifest.model, manifest.version, manifest.artifact.digest)
        window = self._open.get(key)
        if window is not None and self._is_due(window, now_ms):
            self._close(key, now_ms)
            window = None
        if window is not None:
            return window, False
        for other in [one for one in self._open if one[0] == manifest.model]:
            self._close(other, now_ms)
        window = self._open[key] = _Open(manifest, now_ms)
        return window, True

    def _is_due(self, window: _Open, now_ms: int) -> bool:
        # Also when the clock was set back far: else such a window would stay open until it is that late again.
        return abs(now_ms - window.started_at_ms) >= self._window_ms

    def _close(self, key: tuple[str, int, str], now_ms: int) -> None:
        self._closed.append(self._open.pop(key).closed(now_ms))
