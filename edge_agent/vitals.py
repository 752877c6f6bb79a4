"""Which loops must turn for the agent to be alive, and which has not. The watchdog is fed only while all of them do.

No clock: moments are handed in, in monotonic seconds.
"""

from collections.abc import Callable, Iterable

import msgspec

from fleet_contract.because import Because

#: A loop that has nothing to do turns at least this often, so that a watchdog can tell a quiet one from a stuck one.
LONGEST_WAIT_SECONDS = 5.0
#: Nobody looks for so long unless the whole process was stopped, or the machine slept: no loop can have turned then.
PAUSE_SECONDS = 20.0


class Vital(msgspec.Struct, frozen=True):
    """A loop that is stuck when it has not turned for `limit_seconds`."""

    name: str
    turned_at: Callable[[], float | None]
    """When it last turned, or began what it is at; None while it has nothing to do."""
    limit_seconds: float
    hint: str = ""
    """What it means when it is stuck."""


class Vitals:
    """Looks at loops, often: `now` is the moment of the first look to come."""

    def __init__(self, now: float) -> None:
        self._looked_at = now
        self._awake_since = now

    def stuck(self, vitals: Iterable[Vital], now: float) -> Because | None:
        """Why one of `vitals` is taken to be stuck, if one is."""
        if now - self._looked_at > PAUSE_SECONDS:
            self._awake_since = now
        self._looked_at = now
        for one in vitals:
            turned_at = one.turned_at()
            if turned_at is None:
                continue
            silent = now - max(turned_at, self._awake_since)
            if silent > one.limit_seconds:
                hint = f": {one.hint}" if one.hint else ""
                return Because("part-stuck", f"The agent's {one.name} has been stuck for {silent:.0f} s{hint}.")
        return None
