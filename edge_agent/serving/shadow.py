"""Runs a challenger on what the live model has answered, with spare cycles only, and compares the two.

Nobody ever waits for it: what it cannot take soon is dropped, it starts only in a gap between calls that is likely to
last until it has ended, while the device as a whole has cycles to spare, and the system gives its thread what no other
wants. Only a trickle goes on without such gaps, while a core is left beside the calls: on a device whose cores all
answer without a pause nothing is compared.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from edge_agent.live import Lease, LiveModel
from edge_agent.runtimes.session import Array
from edge_agent.runtimes.size import bytes_of
from edge_agent.serving.gaps import Gaps
from edge_agent.serving.port import ServingError
from edge_agent.serving.signature import Signature
from edge_agent.telemetry.tally import Seen, Tally
from fleet_contract.desired import SHADOW_SLOT
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest

_log = logging.getLogger(__name__)

#: What may wait for a shadow, of all models together.
MOST_CALLS = 16
MOST_BYTES = 16 * 1024 * 1024
#: How long a call waits for a gap before it is dropped.
PATIENCE_SECONDS = 2.0
#: How long a challenger that is parked, and for which there is no room, is left alone.
ROOM_SECONDS = 10.0
#: Each look takes the interpreter lock from the answers: the longer there is no gap, the more rarely it is looked. And
#: whether there are cycles to spare shows no sooner than after the longest pause.
_LOOK_SECONDS = 0.001
_PAUSE_SECONDS = 0.1
#: The share of the time that it may run although there is no gap, and for how long that is saved up. A run that
#: competes may delay two or three answers: of the slowest hundredth, those must be few.
TRICKLE_SHARE = 0.0005
_SAVED_SECONDS = 5.0
#: A tenth of what any other thread gets where they compete. Less, and on a busy device an inference would seem to hang,
#: or be stopped for long while it holds the interpreter lock that the answers need.
NICENESS = 10


class _Offer(msgspec.Struct, frozen=True):
    challenger: LiveModel
    manifest: Manifest
    inputs: Mapping[str, Array]
    scores: Array | None
    rows: int
    truth: tuple[str, ...]
    size_bytes: int


class Shadow:
    """The thread that runs challengers. `at_work` says how many calls wait or run, on so many `cores`, and `spare`
    whether the device has cycles to spare; `begin` gives a lease of a challenger, None where it is gone, or parked with
    no room for it; `tally` counts."""

    def __init__(
        self,
        tally: Tally,
        at_work: Callable[[], int],
        spare: Callable[[], bool],
        cores: int,
        begin: Callable[[LiveModel], Lease | None],
    ) -> None:
        self._tally = tally
        self._begin = begin
        self._room_at = 0.0
        self._at_work = at_work
        self._spare = spare
        self._cores = cores
        self._gaps = Gaps()
        self._look_seconds = _LOOK_SECONDS
        self._trickles = False
        self._saved = _SAVED_SECONDS * TRICKLE_SHARE
        self._saved_at = time.monotonic()
        self._changed = threading.Condition(threading.Lock())
        self._offers: deque[_Offer] = deque()
        self._bytes = 0
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._signature: Signature | None = None

    def hears(self, latency_us: float) -> None:
        """A call was answered now that ran for `latency_us`, whichever model's it was."""
        if self._thread is not None:
            self._gaps.answered(time.monotonic(), latency_us / 1e6)

    def wants(self, challenger: LiveModel) -> bool:
        """Whether a call should be offered."""
        if challenger.manifest is None or self._stopped or len(self._offers) >= MOST_CALLS:
            return False
        return not challenger.parked or time.monotonic() >= self._room_at

    def offer(self, challenger: LiveModel, seen: Seen, inputs: Mapping[str, Array]) -> None:
        """What the live model has answered; nobody writes to `inputs` any more. Returns at once."""
        size = bytes_of(inputs)
        with self._changed:
            if self._stopped or len(self._offers) >= MOST_CALLS or self._bytes + size > MOST_BYTES:
                return
            self._offers.append(_Offer(challenger, seen.manifest, inputs, seen.scores, seen.rows, seen.truth, size))
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Ends the thread, as soon as what it runs has come to its end, within `seconds`."""
        with self._changed:
            self._stopped = True
            self._offers.clear()
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        _give_way()
        while (offer := self._next()) is not None:
            began = time.monotonic()
            try:
                self._compare(offer)
            except Exception:  # noqa: BLE001, a challenger's fault must not end the comparing
                _log.exception("A shadow could not be run.")
            if self._trickles:
                self._saved -= time.monotonic() - began

    def _next(self) -> _Offer | None:
        """The next call that is to be run now; None at the end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._offers or self._stopped)
            patient = time.monotonic() + PATIENCE_SECONDS
            # It is looked without the lock: this thread gives way to all others, and who offers must not wait for it.
            while (pause := self._pause()) and time.monotonic() < patient:
                with self._changed:
                    if self._stopped:
                        return None
                    self._changed.wait(pause)
            with self._changed:
                if self._stopped:
                    return None
                offer = self._offers.popleft()
                self._bytes -= offer.size_bytes
            if not pause:
                return offer

    def _pause(self) -> float:
        """How long to wait before it is worth looking whether a run may start; 0: it may."""
        now = time.monotonic()
        self._saved += (now - self._saved_at) * TRICKLE_SHARE
        self._saved, self._saved_at = min(self._saved, _SAVED_SECONDS * TRICKLE_SHARE), now
        spare, at_work = self._spare(), self._at_work()
        quiet = self._gaps.quiet_wanted(now) if spare and not at_work else None
        self._trickles = quiet != 0.0
        if not self._trickles or (self._saved > 0 and at_work < self._cores):
            self._look_seconds = _LOOK_SECONDS
            return 0.0
        pause = max(self._look_seconds, min(quiet or 0.0, _PAUSE_SECONDS))
        self._look_seconds = min(2 * self._look_seconds, _PAUSE_SECONDS)
        return pause

    def _compare(self, offer: _Offer) -> None:
        try:
            lease = self._begin(offer.challenger)
        except VedetteError as error:
            _log.warning("The shadow of %s cannot be loaded again: %s", offer.manifest.model, error.because)
            return
        if lease is None:
            self._room_at = time.monotonic() + ROOM_SECONDS
            return
        failed, began = offer.rows, time.monotonic()
        wanted = self._tally.wants_compared(offer.manifest, offer.inputs, offer.rows)
        try:
            scores, latency_us = self._scores(offer, lease)
            failed = 0
        except VedetteError as error:
            self._tally.failed(lease.loaded.manifest, error.code, SHADOW_SLOT, offer.rows)
            return
        except Exception:
            self._tally.failed(lease.loaded.manifest, "inference-broken", SHADOW_SLOT, offer.rows)
            raise
        finally:
            self._gaps.ran(time.monotonic() - began)
            offer.challenger.end(lease, answered=offer.rows - failed, failed=failed)
        beside = offer.manifest, offer.scores
        self._tally.answered(
            Seen(
                offer.challenger,
                lease,
                lease.loaded.manifest,
                offer.rows,
                scores,
                offer.inputs if wanted else None,
                latency_us,
                SHADOW_SLOT,
                beside,
                offer.truth,
                draws=wanted,
            )
        )

    def _scores(self, offer: _Offer, lease: Lease) -> tuple[Array | None, float]:
        loaded = lease.loaded
        signature = self._signature
        if signature is None or signature.manifest is not loaded.manifest:
            signature = self._signature = Signature(loaded.manifest)
        try:
            signature.check(offer.inputs, ())
        except ServingError as error:
            # Not its caller's fault but its own: the live model takes them.
            raise InputsDiffer(error.what) from error
        began_ns = time.perf_counter_ns()
        outputs = loaded.session.run(offer.inputs)
        return signature.scores(outputs), (time.perf_counter_ns() - began_ns) / 1000


class InputsDiffer(VedetteError):
    """A shadow does not take what its live model takes."""

    code = "inputs-differ"


def _give_way() -> None:
    """From now on this thread gets what the others leave. Linux has a priority for each thread."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    except OSError as error:
        _log.warning("The shadow keeps its priority: %s", error.strerror)
