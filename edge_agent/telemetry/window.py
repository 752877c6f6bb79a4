"""Adds up what a model does, in windows: one model version each, some seconds each."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from edge_agent.telemetry.gauge import Strain
from fleet_contract.desired import DEFAULT_SLOT
from fleet_contract.manifest import Manifest

if TYPE_CHECKING:
    from edge_agent.telemetry.counts import Counts
    from fleet_contract.telemetry import Window

#: What the device bears is read no more often.
_READ_MS = 1000

#: Model and slot, version, digest.
_Key: TypeAlias = tuple[str, str, int, str]


class _Open:
    """A window that is being filled."""

    def __init__(self, manifest: Manifest, slot: str, now_ms: int) -> None:
        self.manifest = manifest
        self.slot = slot
        self.started_at_ms = now_ms
        self.count = 0
        self.latency: Counter[int] = Counter()
        self.predictions: Counter[str] = Counter()
        self.confidence = [0] * len(manifest.reference.confidence.counts)
        self.features = {name: [0] * len(one.counts) for name, one in manifest.reference.features.items()}
        self.error_codes: Counter[str] = Counter()
        self.compared = 0
        self.agreed = 0
        self.labelled = 0
        self.correct = 0
        self.strain = Strain()

    def add(self, counts: "Counts") -> None:
        self.count += counts.count
        self.latency.update(counts.latency)
        self.predictions.update(counts.predictions)
        _add(self.confidence, counts.confidence)
        for name, column in counts.features.items():
            _add(self.features[name], column)
        self.compared += counts.compared
        self.agreed += counts.agreed
        self.labelled += counts.labelled
        self.correct += counts.correct

    def bear(self, strain: Strain) -> None:
        """The device bore `strain` while the window was open."""
        degrees = [one for one in (self.strain.temperature_c, strain.temperature_c) if one is not None]
        self.strain = Strain(max(self.strain.memory_bytes, strain.memory_bytes), max(degrees, default=None))

    def closed(self, now_ms: int) -> "Window":
        from fleet_contract.telemetry import Window

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
            slot=self.slot,
            compared=self.compared,
            agreed=self.agreed,
            memory_bytes=self.strain.memory_bytes,
            temperature_c=self.strain.temperature_c,
            labelled=self.labelled,
            correct=self.correct,
        )


def _add(total: list[int], counts: Sequence[int]) -> None:
    for at, many in enumerate(counts):
        if many:
            total[at] += many


class Recorder:
    """The windows that are open, at most one for each model version and slot. Safe for any number of threads.

    Times come from the caller, in milliseconds of Unix time. Windows carry no sequence yet (0): the spool gives it.
    """

    on_due: Callable[[], None]
    """Called when `due_ms` has become earlier: a window has opened, or a switch of model has closed one."""

    def __init__(self, window_ms: int, read: Callable[[], Strain] = Strain) -> None:
        """`read` gives what the device bore since it was last asked."""
        self.on_due = lambda: None
        self.window_ms = window_ms
        """How long a window is. May be changed at any time, also for windows that are open."""
        self._lock = threading.Lock()
        self._open: dict[_Key, _Open] = {}
        self._closed: list[Window] = []
        self._read = read
        self._strain = Strain()
        self._read_at_ms = 0

    def add(self, manifest: Manifest, counts: "Counts", now_ms: int, slot: str = DEFAULT_SLOT) -> None:
        """Adds records that have been counted."""
        with self._lock:
            window, new = self._window(manifest, slot, now_ms)
            window.add(counts)
        if new:
            self.on_due()

    def failed(self, manifest: Manifest, code: str, now_ms: int, slot: str = DEFAULT_SLOT, records: int = 1) -> None:
        """Counts records that the model could not answer."""
        with self._lock:
            window, new = self._window(manifest, slot, now_ms)
            window.error_codes[code] += records
        if new:
            self.on_due()

    def collect(self, now_ms: int, *, everything: bool = False) -> "list[Window]":
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
            return min((one.started_at_ms + self.window_ms for one in self._open.values()), default=None)

    def _window(self, manifest: Manifest, slot: str, now_ms: int) -> tuple[_Open, bool]:
        """The window for a record of now, and whether it has just been opened."""
        key = (manifest.model, slot, manifest.version, manifest.artifact.digest)
        window = self._open.get(key)
        if window is not None and self._is_due(window, now_ms):
            self._close(key, now_ms)
            window = None
        if window is not None:
            return window, False
        for other in [one for one in self._open if one[:2] == key[:2]]:
            self._close(other, now_ms)
        window = self._open[key] = _Open(manifest, slot, now_ms)
        return window, True

    def _is_due(self, window: _Open, now_ms: int) -> bool:
        # Also when the clock was set back far: else such a window would stay open until it is that late again.
        return abs(now_ms - window.started_at_ms) >= self.window_ms

    def _close(self, key: _Key, now_ms: int) -> None:
        # Windows that close together share a reading; what stays open has borne it, too.
        if abs(now_ms - self._read_at_ms) >= _READ_MS:
            self._strain, self._read_at_ms = self._read(), now_ms
            for window in self._open.values():
                window.bear(self._strain)
        elif not self._open[key].strain.memory_bytes:
            self._open[key].bear(self._strain)
        self._closed.append(self._open.pop(key).closed(now_ms))
