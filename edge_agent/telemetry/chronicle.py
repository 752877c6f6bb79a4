"""Notices what changes on a device, and tells each change once, with its reason."""

from collections.abc import Iterable
from typing import NamedTuple

from fleet_contract.because import Because
from fleet_contract.bounds import plain
from fleet_contract.report import ModelReport, Release
from fleet_contract.telemetry import Event

#: A trouble that comes back within this is the same one: what comes and goes would else fill the spool.
MENDED_SECONDS = 60.0


class _Seen(NamedTuple):
    because: Because
    at: float


class Chronicle:
    """What was last seen of a device. Not safe for threads.

    The first look tells all that is, so that the events of one start of the agent need no older ones to be
    understood. Events have no number yet (0): the spool gives it. Times are Unix milliseconds and monotonic seconds.
    """

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], tuple[object, ...]] = {}
        self._refused: str | None = None
        self._troubles: dict[str, _Seen] = {}

    def models(self, models: Iterable[ModelReport], refused: Because | None, now_ms: int) -> list[Event]:
        """What is new of models, and of orders that are not followed."""
        events = []
        if refused is not None and refused.code != self._refused:
            events.append(event("refused", refused, now_ms))
        self._refused = None if refused is None else refused.code
        for one in models:
            key, state = (one.model, one.slot), (one.phase, one.wanted, one.running, one.because.code)
            if self._models.get(key) != state:
                self._models[key] = state
                events.append(_phase(one, now_ms))
        return events

    def troubles(self, troubles: Iterable[Because], now: float, now_ms: int) -> list[Event]:
        """Which troubles have come, and which have been gone for long enough to be mended. A code is one trouble."""
        events = []
        for one in troubles:
            if one.code not in self._troubles:
                events.append(event("trouble", one, now_ms))
            self._troubles[one.code] = _Seen(one, now)
        for code, seen in list(self._troubles.items()):
            if now - seen.at >= MENDED_SECONDS:
                del self._troubles[code]
                events.append(event("mended", seen.because, now_ms))
        return events


def event(kind: str, because: Because, now_ms: int) -> Event:
    """An event about no model."""
    return Event(0, now_ms, kind, plain(because.code)[:256], plain(because.sentence))


def _phase(report: ModelReport, now_ms: int) -> Event:
    subject: Release | None = report.wanted or report.running
    return Event(
        sequence=0,
        at_ms=now_ms,
        kind="phase",
        code=plain(report.because.code)[:256],
        sentence=plain(report.because.sentence),
        model=report.model,
        slot=report.slot,
        version=0 if subject is None else min(subject.version, 2**31 - 1),
        phase=report.phase.value,
        rollout=report.rollout or "",
    )
