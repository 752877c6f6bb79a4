"""Considers what was answered for capture, where it is counted, and hands over what is chosen: no caller waits for it.

Whoever answers is asked no more than whether a call is worth its copy: that takes a small share of one core, and what
no budget has room for is not copied.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from random import randbytes, random
from typing import NamedTuple

import msgspec
import numpy as np

from edge_agent.capture.about import About
from edge_agent.capture.choice import Budget, Candidate, Reason, Rules, choose
from edge_agent.capture.files import estimate_bytes
from edge_agent.capture.keeping import Keeping
from edge_agent.errors import OutputWrong
from edge_agent.runtimes.session import Array
from edge_agent.telemetry.allowance import Allowance
from edge_agent.telemetry.answer import answers, margins
from edge_agent.telemetry.counts import joined
from edge_agent.telemetry.tally import Seen
from fleet_contract.desired import DEFAULT_SLOT
from fleet_contract.manifest import Manifest

#: The share of a core that considering may take, and for how many seconds it may be saved up: what is saved may be
#: spent in one go by a thread that answers. What chance has picked has as much again to itself: if it had to share, it
#: would pick less while every record is considered for its margin, and be no fair sample.
CONSIDER_SHARE = 0.01
_SAVED_SECONDS = 1.0
#: A copy, and what is chosen of it.
_SECONDS_PER_BYTE, _SECONDS_PER_CALL = 1e-9, 10e-6
#: Once that is spent, nobody is even asked until it is paid, and for so long: for a model of some microseconds, that
#: would be a percent, and numbers for a large batch take milliseconds.
REST_SECONDS = 0.01
#: Nor while the disk is behind.
_BEHIND_SECONDS = 0.1
#: A reason whose bytes are spent is not asked again for so long.
DRY_SECONDS = 1.0
#: Nothing picks it at random.
_NEVER = 1.0
#: Of so many records the numbers are drawn all at once: one by one those of a large batch take longer than the model.
_MANY = 32


class _Said(NamedTuple):
    """Of each record the best label as an index, how sure the model is of it, and how much surer than of the second."""

    best: Array
    confidence: Array
    margin: Array


class _Asked:
    """What considering records for one reason may still take, and until when nobody is to be asked for it."""

    def __init__(self) -> None:
        self.allowance = Allowance(CONSIDER_SHARE, _SAVED_SECONDS, _SECONDS_PER_BYTE, _SECONDS_PER_CALL)
        self.rests_until = 0.0

    def rest(self, until: float) -> None:
        self.rests_until = max(self.rests_until, until)


class Tap:
    """Chooses as `rules` say, which may be changed at any time, and hands what is chosen to `keeping`.

    `choose` on one thread at a time, all else on any. `clock` gives monotonic seconds, `draw` a random number.
    """

    def __init__(
        self,
        rules: Rules,
        keeping: Keeping,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random,
    ) -> None:
        self.rules = rules
        self._keeping = keeping
        self._clock = clock
        self._draw = draw
        self._budget = Budget()
        # What is saved up counts from now on, and not from the first record that is worth keeping.
        self._budget, _ = choose(rules, self._budget, Candidate(0, _NEVER), clock())
        self._dry_until = dict.fromkeys(Reason, 0.0)
        self._by_chance = _Asked()
        self._by_margin = _Asked()

    def draws(self, rows: int, manifest: Manifest) -> tuple[float, ...] | Array | None:
        """A random number for each of so many records of a call to the model of `manifest`, if any of them may be
        worth keeping. To be asked once for each call."""
        now, rules = self._clock(), self.rules
        by_margin = now >= self._by_margin.rests_until and rules.low_margin > 0 and bool(manifest.labels)
        by_chance = now >= self._by_chance.rests_until and rules.random_share > 0
        if not (by_margin or by_chance):
            return None
        if rows == 1:
            # Of most calls, and in a third of the time.
            number = self._draw()
            return (number,) if by_margin or number < rules.random_share else None
        if rows > _MANY:
            many = np.frombuffer(randbytes(4 * rows), np.uint32) * 2.0**-32  # noqa: S311, nobody is kept out by it
            return many if by_margin or many.min() < rules.random_share else None
        # A list: a generator would cost more than the numbers.
        numbers = tuple([self._draw() for _ in range(rows)])
        return numbers if by_margin or min(numbers) < rules.random_share else None

    def affords(self, size_bytes: int, numbers: "tuple[float, ...] | Array") -> bool:
        """Whether there is time to consider a call with so many bytes of tensors, for which `numbers` were drawn; if
        so, it is paid for."""
        least = numbers.min() if isinstance(numbers, np.ndarray) else min(numbers)
        asked = self._by_chance if least < self.rules.random_share else self._by_margin
        if asked.allowance.allows(size_bytes):
            return True
        asked.rest(self._clock() + max(REST_SECONDS, asked.allowance.rest_seconds))
        return False

    @property
    def compares(self) -> bool:
        """Whether what a shadow is about to answer is to be considered."""
        return self.rules.disagreement and self._clock() >= self._dry_until[Reason.DISAGREEMENT]

    def choose(self, seen: Sequence[Seen]) -> None:
        """Hands over what is worth it of `seen`, records of one version in one slot, with their inputs. Returns at
        once."""
        if seen[0].slot == DEFAULT_SLOT:
            self._answered(seen)
        else:
            for one in seen:
                self._compared(one)

    def _answered(self, seen: Sequence[Seen]) -> None:
        manifest = seen[0].manifest
        numbers = np.concatenate([one.draws.numbers for one in seen if one.draws is not None])
        said = _said(manifest, [(one.scores, one.rows) for one in seen])
        ends = np.cumsum([one.rows for one in seen])
        begin, left = 0, self._worth(numbers, said)
        while left.size:
            for at in left.tolist():
                begin = at + 1
                call = int(np.searchsorted(ends, at, side="right"))
                one, row = seen[call], at - int(ends[call]) + seen[call].rows
                margin = None if said is None else float(said.margin[at])
                if not self._weigh(one, row, _about(one.now_ms, manifest, said, at), float(numbers[at]), margin):
                    break
            left = self._worth(numbers, said)
            left = left[left >= begin]
            if left.size and self._keeping.is_full:
                self._keeping.drop("behind", left.size)
                return

    def _worth(self, numbers: Array, said: _Said | None) -> Array:
        """Which records are worth keeping for a reason that has bytes: of a batch of thousands, those that have none
        are not to be weighed one by one."""
        rules, dry_until, now = self.rules, self._dry_until, self._clock()
        worth = np.zeros(numbers.shape, np.bool_)
        if now >= dry_until[Reason.RANDOM]:
            worth |= numbers < rules.random_share
        if said is not None and now >= dry_until[Reason.LOW_MARGIN]:
            worth |= said.margin < rules.low_margin
        return np.flatnonzero(worth)

    def _compared(self, one: Seen) -> None:
        if one.beside is None:
            return
        live, scores = one.beside
        mine, theirs = _said(one.manifest, [(one.scores, one.rows)]), _said(live, [(scores, one.rows)])
        if mine is None or theirs is None:
            return
        for row, (best, other) in enumerate(zip(theirs.best.tolist(), mine.best.tolist(), strict=True)):
            if live.labels[best] != (beside := one.manifest.labels[other]):
                about = _about(one.now_ms, live, theirs, row)
                about = msgspec.structs.replace(about, beside=beside, beside_version=one.manifest.version)
                # By chance or its margin it could be kept when the live version had answered it.
                if not self._weigh(one, row, about, _NEVER, None, disagrees=True):
                    return

    def _weigh(
        self, one: Seen, row: int, about: About, number: float, margin: float | None, *, disagrees: bool = False
    ) -> bool:
        """Keeps it if there is the room. False where there is none: there will be none for others like it soon."""
        record = None if one.inputs is None else _record(one.inputs, one.rows, row)
        if record is None:
            return True
        now = self._clock()
        candidate = Candidate(estimate_bytes(record), number, margin, disagrees)
        budget, reason = choose(self.rules, self._budget, candidate, now)
        if reason is None:
            self._budget = budget
            self._dry(candidate, now + DRY_SECONDS)
            return False
        if self._keeping.is_full:
            # A disk that is slow must not cost the bytes of records that it could write later.
            self._keeping.drop("behind")
            self._by_chance.rest(now + _BEHIND_SECONDS)
            self._by_margin.rest(now + _BEHIND_SECONDS)
            return False
        self._budget = budget
        # A view would keep all of what it is of: the other records of a batch, and the rest of a body.
        record = {name: array if array.base is None else array.copy() for name, array in record.items()}
        self._keeping.offer(msgspec.structs.replace(about, reason=reason.value), record)
        return True

    def _dry(self, candidate: Candidate, until: float) -> None:
        """None of the reasons to keep `candidate` had the bytes."""
        rules = self.rules
        if candidate.random < rules.random_share:
            self._dry_until[Reason.RANDOM] = until
            self._by_chance.rest(until)
        if candidate.margin is not None and candidate.margin < rules.low_margin:
            self._dry_until[Reason.LOW_MARGIN] = until
            self._by_margin.rest(until)
        if candidate.disagrees:
            self._dry_until[Reason.DISAGREEMENT] = until


def _said(manifest: Manifest, calls: Sequence[tuple[Array | None, int]]) -> _Said | None:
    """What scores say, those of calls of so many rows each; None where they name no label for each."""
    if not manifest.labels or any(scores is None or scores.shape[:1] != (rows,) for scores, rows in calls):
        return None
    try:
        outputs = joined(manifest, [scores for scores, _ in calls])
        given = answers(manifest, outputs)
        return _Said(given.best, given.confidence, margins(manifest, outputs))
    except OutputWrong:
        # The window of whoever gave it counts that.
        return None


def _about(at_ms: int, manifest: Manifest, said: _Said | None, at: int) -> About:
    about = About(at_ms, manifest.model, manifest.version, manifest.artifact.digest, reason="")
    if said is None:
        return about
    sure, margin = (float(np.clip(one[at], 0.0, 1.0)) for one in (said.confidence, said.margin))
    return msgspec.structs.replace(about, label=manifest.labels[int(said.best[at])], confidence=sure, margin=margin)


def _record(inputs: Mapping[str, Array], rows: int, row: int) -> Mapping[str, Array] | None:
    """One of so many, as a call of one record would have it; None where `inputs` do not have a row for each."""
    if rows == 1:
        return inputs
    if any(array.shape[:1] != (rows,) for array in inputs.values()):
        return None
    return {name: array[row : row + 1] for name, array in inputs.items()}
