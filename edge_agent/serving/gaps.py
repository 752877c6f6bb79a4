"""When a run beside the calls comes to its end before the next of them. No clock: times are monotonic seconds."""

from collections import deque

#: So many gaps between calls are looked at.
GAPS = 100
#: So few are enough where each is so many times as long as a run: a camera that gives a frame a second would else be
#: listened to for minutes first. Should one of the next ninety be a tenth of all before, one answer is late.
FEW_GAPS, FAR = 10, 10
#: So many runs. What stalled once is not what they take, so the longest but one counts.
RUNS = 8
#: Who has just got an answer needs the processor to take it, and a gap may be this much shorter than all before.
MARGIN_SECONDS = 0.002


class Gaps:
    """Hears of each answer, and of each run beside them. What one thread tells another may read: it is a hint."""

    def __init__(self) -> None:
        self._lengths: deque[float] = deque(maxlen=GAPS)
        self._runs: deque[float] = deque(maxlen=RUNS)
        self._answered_at: float | None = None

    def answered(self, at: float, seconds: float) -> None:
        """A call that ran for `seconds` was answered."""
        if self._answered_at is not None:
            # One that was there before the last was answered had no gap before it.
            self._lengths.append(max(0.0, at - seconds - self._answered_at))
        self._answered_at = at

    def ran(self, seconds: float) -> None:
        """A run beside the calls took so long."""
        self._runs.append(seconds)

    def quiet_wanted(self, now: float) -> float | None:
        """For how many seconds from `now` on no call may come until a run may start; 0: it may now. None: too little is
        known.

        A run fits where no gap ends while it runs, and none did for as long before. Of many calls that come in step
        that is soon after each, and of a burst soon after the last.
        """
        lengths, runs = sorted(self._lengths), sorted(self._runs)
        if self._answered_at is None or len(lengths) < FEW_GAPS or not runs:
            return None
        run = runs[max(0, len(runs) - 2)]
        margin = min(run, MARGIN_SECONDS)
        if len(lengths) < GAPS and lengths[0] < FAR * (run + margin):
            return None
        since = now - self._answered_at
        quiet = max(since, margin)
        for length in lengths:
            if quiet - run < length < quiet + run + margin:
                quiet = length + run
        return quiet - since
