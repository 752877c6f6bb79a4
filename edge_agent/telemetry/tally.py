"""Counts what was answered into windows, on a thread of its own: no caller waits for it.

Answers are counted all. The features of inputs cost more, the larger the inputs are: they may take a small share of
one core, and beyond it records are counted without them, so a window's histogram of a feature may count fewer.
"""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import OutputWrong
from edge_agent.live import Lease, LiveModel
from edge_agent.runtimes.session import Array
from edge_agent.runtimes.size import bytes_of
from edge_agent.telemetry.allowance import Allowance
from edge_agent.telemetry.streak import Streak, Taken
from edge_agent.telemetry.window import Recorder
from fleet_contract.desired import DEFAULT_SLOT
from fleet_contract.manifest import Manifest

if TYPE_CHECKING:
    from edge_agent.capture.tap import Tap

_log = logging.getLogger(__name__)

#: How long records gather before they are counted together, which costs a tenth of counting each.
GATHER_SECONDS = 0.1
#: More than that is counted at once, by whoever brings it: thousands a second are counted for less by the thread that
#: answers than by another, which it would have to leave the interpreter's lock to.
MOST_RECORDS = 512
MOST_BYTES = 16 * 1024 * 1024
#: What is computed of inputs takes a multiple of them meanwhile.
_BYTES_AT_A_TIME = 1024 * 1024
#: The share of a core that features may take, and for how many seconds it may be saved up.
FEATURE_SHARE = 0.02
_SAVED_SECONDS = 10.0
#: What of calls that may be captured waits to be counted. Whoever answers must never have to count for their sake.
MOST_CAPTURED_BYTES = MOST_BYTES // 2
MOST_CAPTURED_RECORDS = MOST_RECORDS // 2


def wall_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Draws(msgspec.Struct, frozen=True):
    """Makes a call one that may be captured: a random number, 0 to 1, for each of its records. `features` says whether
    those of its inputs are to be counted, too."""

    numbers: "tuple[float, ...] | Array" = ()
    features: bool = False


class Seen(msgspec.Struct, eq=False):
    """One call of `rows` records that was answered: `scores` is the output that names the labels, a row for each.

    `inputs` are None when nobody is to look at them: their features are not to be counted, and they are not to be
    captured, for which there would be `draws`. `beside` is what the live version, with its manifest, said of the same
    records, when this one is its shadow. `truth` has the true label of each record, where they are known.
    """

    live: LiveModel
    lease: Lease
    manifest: Manifest
    rows: int
    scores: Array | None
    inputs: Mapping[str, Array] | None
    latency_us: float
    slot: str = DEFAULT_SLOT
    beside: tuple[Manifest, Array | None] | None = None
    truth: tuple[str, ...] = ()
    now_ms: int = 0
    draws: Draws | None = None

    def keep(self, inputs: Mapping[str, Array], wanted: bool | Draws) -> None:
        """With `inputs`, where `Tally.wants` them: nobody writes to them any more."""
        if wanted:
            self.inputs = inputs
            self.draws = wanted if isinstance(wanted, Draws) else None

    @property
    def size_bytes(self) -> int:
        """What it keeps in memory."""
        return (0 if self.scores is None else self.scores.nbytes) + (
            0 if self.inputs is None else bytes_of(self.inputs)
        )


class _Missed:
    """Records that the model could not answer."""

    __slots__ = ("code", "manifest", "now_ms", "rows", "slot")
    size_bytes = 0

    def __init__(self, manifest: Manifest, code: str, slot: str, rows: int) -> None:
        self.manifest = manifest
        self.code = code
        self.slot = slot
        self.rows = rows
        self.now_ms = 0


class Tally:
    """Counts into `recorder`. Safe for any number of threads; the thread that counts starts with the first record."""

    def __init__(self, recorder: Recorder, now_ms: Callable[[], int] = wall_ms) -> None:
        self._recorder = recorder
        self._now_ms = now_ms
        self.tap: Tap | None = None
        """What may capture records; may be changed at any time."""
        self._seen: deque[Seen | Streak | _Missed] = deque()
        self._streaks: dict[str, Streak] = {}
        self._bytes = 0
        self._budget = Allowance(FEATURE_SHARE, _SAVED_SECONDS)
        self._awake = threading.Event()
        self._stop = threading.Event()
        self._counting = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wants(self, manifest: Manifest, inputs: Mapping[str, Array], rows: int = 1) -> bool | Draws:
        """Whether somebody is to look at the `inputs` of `rows` records: True for their features alone, `Draws` where
        they may be captured. To be asked once for each call."""
        features = False
        if manifest.reference.features:
            features = self._budget.allows(bytes_of(inputs))
        tap = self.tap
        if tap is None or (rows > 1 and not self._fits(_looked_at_bytes(manifest, rows))):
            return features
        numbers = tap.draws(rows, manifest)
        if numbers is None:
            return features
        size_bytes = bytes_of(inputs) + _looked_at_bytes(manifest, rows)
        return Draws(numbers, features) if self._fits(size_bytes) and tap.affords(size_bytes, numbers) else features

    def wants_compared(self, manifest: Manifest, inputs: Mapping[str, Array], rows: int) -> Draws | None:
        """The same for what a shadow is about to answer; None where they are not to be looked at."""
        tap = self.tap
        if tap is None or not tap.compares:
            return None
        return Draws() if self._fits(bytes_of(inputs) + _looked_at_bytes(manifest, rows)) else None

    def answered(self, seen: Seen) -> None:
        """Returns at once; the arrays must not be written to any more."""
        self._add(seen)

    def streak(self, live: LiveModel, lease: Lease, rows: int, scores: Array | None) -> Streak | None:
        """Where answers like this one, of a model in its default slot, are told in fewer steps; None where each is to
        be told by itself. The inputs of these are not counted, and their true labels are not known."""
        if scores is None or not Streak.takes(scores):
            return None
        model = lease.loaded.manifest.model
        found = self._streaks.get(model)
        if found is None or not found.fits(lease, rows, scores):
            found = self._streaks[model] = Streak(live, lease, rows, scores, self._add, self._flush_safely)
        return found

    def failed(self, manifest: Manifest, code: str, slot: str = DEFAULT_SLOT, records: int = 1) -> None:
        """Records that the model could not answer. They wait for their turn, too: a window is of one version, and
        whoever overtook the answers of the one before would cut it in two."""
        self._add(_Missed(manifest, code, slot, records))

    def _add(self, one: Seen | Streak | _Missed) -> None:
        one.now_ms = self._now_ms()
        self._seen.append(one)
        # Only about right when two threads add at once; it is set right whenever all is counted.
        self._bytes += one.size_bytes
        if len(self._seen) > MOST_RECORDS or self._bytes > MOST_BYTES:
            self._flush_safely()
        elif not self._awake.is_set():
            self._awake.set()
            if self._thread is None:
                self._start()

    def _fits(self, size_bytes: int) -> bool:
        return self._bytes + size_bytes <= MOST_CAPTURED_BYTES and len(self._seen) < MOST_CAPTURED_RECORDS

    def flush(self) -> None:
        """Counts all that was answered so far."""
        with self._counting:
            pending = [self._seen.popleft() for _ in range(len(self._seen))]
            # At once, and not when it is counted: what fails before that must not leave a streak that nobody takes.
            taken = [one.take() if isinstance(one, Streak) else one for one in pending]
            self._bytes = 0
            # A window is of one version: those of each model and slot keep their order, and only those.
            lines: defaultdict[tuple[str, str], list[Seen | Taken | _Missed]] = defaultdict(list)
            for one in taken:
                lines[one.manifest.model, one.slot].append(one)
            for line in lines.values():
                for _, group in groupby(line, key=attrgetter("manifest")):
                    self._count_group(list(group))

    def _count_group(self, group: Sequence["Seen | Taken | _Missed"]) -> None:
        for missed in [one for one in group if isinstance(one, _Missed)]:
            self._recorder.failed(missed.manifest, missed.code, missed.now_ms, missed.slot, missed.rows)
        step: list[Seen] = []
        size_bytes = 0
        for one in [one for one in group if isinstance(one, Seen)]:
            step.append(one)
            size_bytes += one.size_bytes
            if size_bytes > _BYTES_AT_A_TIME:
                self._count(step)
                step, size_bytes = [], 0
        if step:
            self._count(step)
        for taken in [one for one in group if isinstance(one, Taken)]:
            self._count_taken(taken)

    def close(self) -> None:
        """Ends the thread; what comes later is counted by `flush` only."""
        self._stop.set()
        self._awake.set()
        thread = self._thread
        if thread is not None:
            thread.join(1.0)
        self.flush()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tally", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._awake.wait()
            self._stop.wait(GATHER_SECONDS)
            # Cleared first: what is added meanwhile wakes it again.
            self._awake.clear()
            self._flush_safely()

    def _flush_safely(self) -> None:
        try:
            self.flush()
        except Exception:  # noqa: BLE001, see below
            # A fault of ours in counting must end neither all counting nor whoever answers.
            _log.exception("Records could not be counted.")

    def _count(self, group: Sequence[Seen]) -> None:
        """Records of one version in one slot."""
        # NumPy comes with the first answer, not with the agent.
        from edge_agent.telemetry.answer import labels
        from edge_agent.telemetry.counts import accuracy, agreement, count, count_features, count_unnamed, together

        manifest, slot, now_ms = group[0].manifest, group[0].slot, group[-1].now_ms
        latencies_us, rows = [one.latency_us for one in group], [one.rows for one in group]
        given = None
        if manifest.labels:
            try:
                given = together(manifest, [one.scores for one in group])
            except OutputWrong as error:
                if len(group) > 1:
                    # One of them, or some: the others are fine.
                    middle = len(group) // 2
                    self._count(group[:middle])
                    self._count(group[middle:])
                else:
                    self._wrong(group[0], error)
                return
        counts = count_unnamed(latencies_us, rows) if given is None else count(manifest, given, latencies_us, rows)
        if measured := [
            (one.inputs, one.rows)
            for one in group
            if one.inputs is not None and (one.draws is None or one.draws.features)
        ]:
            began = time.perf_counter()
            counts.features = count_features(manifest, measured)
            self._budget.measured(sum(bytes_of(inputs) for inputs, _ in measured), time.perf_counter() - began)
        if given is not None and slot != DEFAULT_SLOT:
            beside = [(one.beside, one.rows) for one in group]
            counts.compared, counts.agreed = agreement(labels(manifest, given), beside)
        if given is not None and any(one.truth for one in group):
            truths = [(one.truth, one.rows) for one in group]
            counts.labelled, counts.correct = accuracy(labels(manifest, given), truths)
        self._recorder.add(manifest, counts, now_ms, slot)
        if (tap := self.tap) is not None:
            _capture(tap, [one for one in group if one.draws is not None])

    def _count_taken(self, taken: Taken) -> None:
        # NumPy comes with the first answer, not with the agent.
        from edge_agent.telemetry.counts import count, count_unnamed, together

        manifest, latencies_us = taken.manifest, taken.latencies_us()
        rows = [taken.streak.rows] * len(latencies_us)
        if not manifest.labels:
            self._recorder.add(manifest, count_unnamed(latencies_us, rows), taken.now_ms, taken.slot)
            return
        try:
            given = together(manifest, [taken.scores()])
        except OutputWrong:
            # One of them, or some: the others are fine.
            self._count(_apart(taken))
            return
        counts = count(manifest, given, latencies_us, rows)
        self._recorder.add(manifest, counts, taken.now_ms, taken.slot)

    def _wrong(self, one: Seen, error: OutputWrong) -> None:
        one.live.recant(one.lease, one.rows)
        self._recorder.failed(one.manifest, error.code, one.now_ms, one.slot, one.rows)


def _apart(taken: Taken) -> list[Seen]:
    """Each call by itself."""
    streak = taken.streak
    return [
        Seen(streak.live, streak.lease, streak.manifest, streak.rows, scores, None, took, now_ms=taken.now_ms)
        for scores, took in taken.apart()
    ]


def _looked_at_bytes(manifest: Manifest, rows: int) -> int:
    """What considering `rows` records takes beside their inputs: their scores, and what was drawn, as doubles. A large
    batch of small records has many times as much of that."""
    return 8 * rows * (len(manifest.labels) + 1)


def _capture(tap: "Tap", seen: Sequence[Seen]) -> None:
    """Of `seen`, records of one version in one slot, what is worth it."""
    try:
        if seen:
            tap.choose(seen)
    except Exception:  # noqa: BLE001, whatever is wrong with it, counting goes on
        _log.exception("Records could not be considered for capture.")
