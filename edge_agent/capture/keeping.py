"""Writes what was chosen to the disk, on a thread of its own, and tells of each record that is safe there."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edge_agent.capture.about import About
from edge_agent.capture.store import Captures, Kept
from edge_agent.runtimes.session import Array
from edge_agent.runtimes.size import bytes_of

if TYPE_CHECKING:
    from fleet_contract.telemetry import Sample

_log = logging.getLogger(__name__)
#: What may wait for the disk; a single record may be larger.
MOST_RECORDS = 64
MOST_BYTES = 8 * 1024 * 1024
#: The share of a core that writing may take, whatever an hour may write: answers need the interpreter's lock, too.
WRITE_SHARE = 0.02


class Keeping:
    """Keeps records in `captures`, and hands `tell` the sample of each. Safe for any number of threads; its own starts
    when there is something to do."""

    def __init__(self, captures: Captures, tell: "Callable[[Sample], None]") -> None:
        self._captures = captures
        self._tell = tell
        self._changed = threading.Condition(threading.Lock())
        self._offered: deque[tuple[About, Mapping[str, Array], int]] = deque()
        self._max_bytes: int | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None
        self.held_bytes = 0
        """What waits and is being written, in memory."""

    @property
    def is_full(self) -> bool:
        """Whether the next record is likely to be dropped."""
        return len(self._offered) >= MOST_RECORDS or self.held_bytes >= MOST_BYTES

    def offer(self, about: About, inputs: Mapping[str, Array]) -> None:
        """Has one record kept, to whose `inputs` nobody writes any more; returns at once. Where too many wait it is
        dropped, and counted."""
        size_bytes = bytes_of(inputs)
        with self._changed:
            fits = not self.held_bytes or self.held_bytes + size_bytes <= MOST_BYTES
            is_taken = fits and len(self._offered) < MOST_RECORDS and not self._stopped
            if is_taken:
                self._offered.append((about, inputs, size_bytes))
                self.held_bytes += size_bytes
                self._wake()
        if not is_taken:
            self.drop("behind")

    def allow(self, max_bytes: int) -> None:
        """From now on captures may take `max_bytes`; returns at once. Where that is less, the oldest go: of a disk that
        is slow, or hangs, whoever reads the config must not wait for it."""
        with self._changed:
            self._max_bytes = max_bytes
            self._wake()

    def drop(self, reason: str, count: int = 1) -> None:
        """Counts records that were worth keeping, and are not."""
        self._captures.drop(reason, count)

    def forget(self) -> None:
        """Nothing that waits is written any more; what is being written is."""
        with self._changed:
            while self._offered:
                self.held_bytes -= self._offered.pop()[2]

    def close(self, seconds: float) -> None:
        """Writes what waits, for so many `seconds` at most. What comes later is dropped."""
        with self._changed:
            self._stopped = True
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(seconds)
        self.forget()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        began = time.thread_time()
        while self._keep_next():
            ended = time.thread_time()
            self._rest((ended - began) * (1 / WRITE_SHARE - 1))
            began = ended

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)

    def _keep_next(self) -> bool:
        """Whether there was a record, or another quota, before the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._offered or self._max_bytes is not None or self._stopped)
            max_bytes, self._max_bytes = self._max_bytes, None
            # In the same breath: what waits may be forgotten at any other time, and that is no end.
            offered = self._offered.popleft() if max_bytes is None and self._offered else None
        if max_bytes is not None:
            self._captures.max_bytes = max_bytes
            return True
        if offered is None:
            return False
        about, inputs, size_bytes = offered
        try:
            kept = self._captures.keep(about, inputs)
            if kept is not None:
                # Only now: the hub must never be told of what a power cut can lose.
                self._tell(_sample(about, kept))
        except Exception:  # noqa: BLE001, whatever is wrong with one record, the others are kept
            _log.exception("A record could not be captured.")
            self.drop("broken")
        finally:
            with self._changed:
                self.held_bytes -= size_bytes
        return True


def _sample(about: About, kept: Kept) -> "Sample":
    # An agent that captures nothing starts without it.
    from fleet_contract.telemetry import Sample

    return Sample(
        sequence=0,
        at_ms=about.at_ms,
        model=about.model,
        version=about.version,
        digest=about.digest,
        reason=about.reason,
        capture=kept.capture,
        size_bytes=kept.size_bytes,
        label=about.label,
        confidence=about.confidence,
        margin=about.margin,
        beside=about.beside,
        beside_version=about.beside_version,
    )
