"""What all models of a device take together, and whether one of them leaves nothing but the end of the process."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from edge_agent.allotment import is_short
from edge_agent.blackbox import BlackBox
from edge_agent.core.limits import Limits, suspect
from edge_agent.update.footprint import Footprint
from edge_agent.update.reconciler import Reconciler
from edge_agent.update.rest import resting
from edge_agent.update.watch import Shared
from fleet_contract.because import Because

#: Nobody looks for so long unless the whole process stood still; no model can have been at work then.
PAUSE_SECONDS = 15.0


class Awake:
    """Since when somebody has looked without a pause, in monotonic seconds."""

    def __init__(self, now: float) -> None:
        self.since = now
        self._looked_at = now

    def look(self, now: float) -> None:
        """To be called before the time since then is judged."""
        if now - self._looked_at > PAUSE_SECONDS:
            self.since = now
        self._looked_at = now

    def busy(self, now: float) -> None:
        """Who looks was at work until now: that was no pause."""
        self._looked_at = now


class Overview:
    """Over `reconcilers`, by key, which may change. `held_bytes` is what requests hold of memory."""

    def __init__(
        self,
        reconcilers: Mapping[str, Reconciler],
        limits: Limits,
        blackbox: BlackBox,
        monotonic: Callable[[], float],
        held_bytes: Callable[[], int],
    ) -> None:
        self._reconcilers = reconcilers
        self.limits = limits
        self._blackbox = blackbox
        self._monotonic = monotonic
        self._held_bytes = held_bytes
        self._footprint = Footprint(self._resting, is_short)
        self._updater = Awake(monotonic())
        self._asker = Awake(monotonic())

    def shared(self) -> Shared:
        """What all take now, to be asked for before each round."""
        now = self._monotonic()
        self._updater.look(now)
        there = [one for one in self._reconcilers.values() if one.live is not None or one.prepared is not None]
        loaded = [(one.journal.key, one.live, one.parked, one.prepared) for one in there]
        self._footprint.measure(loaded, now, self.limits.growth_bytes, self._held_bytes)
        # What is loaded beside those that answer is none of theirs, and is soon judged itself.
        proving = any(one.prepared is not None for one in there)
        blamed = None if proving else suspect(one.journal for one in there)
        return Shared(self._footprint.resident_bytes, self._footprint.grown_bytes, blamed, self._updater.since)

    def rounded(self) -> None:
        """A round has ended, however long it took."""
        self._updater.busy(self._monotonic())

    def unwell(self) -> Because | None:
        """Why the process must end, if it must: a model hangs, or has taken what it does not give back. On any thread,
        every few seconds.

        Which model that is will be known to the next start.
        """
        now = self._monotonic()
        self._asker.look(now)
        for key, one in list(self._reconcilers.items()):
            if one.spent is not None:
                return one.spent
            if (preparing := one.preparing) is None:
                continue
            manifest, since = preparing
            seconds = now - max(since, self._asker.since)
            if seconds > self.limits.load_seconds:
                self._blackbox.hang(key, manifest.artifact.digest)
                sentence = f"Loading version {manifest.version} of {key} has taken {seconds:.0f} s: it hangs."
                return Because("load-hangs", sentence)
        return None

    def _resting(self) -> AbstractContextManager[bool]:
        return resting([one.slot for one in self._reconcilers.values()])
