"""What a model may take of its device while it answers, and when it has taken too much. No I/O, no clock."""

from collections.abc import Iterable

import msgspec

from edge_agent.core.journal import Journal
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest
from fleet_contract.report import Phase

#: Fewer leases than this say nothing of a model's pace.
LEAST_LEASES = 10
#: A settled model is judged by its last so many seconds: a moment's heat or a neighbour's burst is no reason to leave.
PACE_SECONDS = 60.0


class Limits(msgspec.Struct, frozen=True):
    """What a model may take of this device; None: as much as there is.

    `latency_ms` is for the median record, of the golden replay and of what comes later. `resident_bytes` is for the
    agent with all its models, `growth_bytes` for what it has kept since a model was last loaded. A record that
    takes `hang_seconds`, or a load that takes `load_seconds`, will never end.
    """

    latency_ms: float | None = None
    resident_bytes: int | None = None
    growth_bytes: int | None = None
    hang_seconds: float = 60.0
    load_seconds: float = 300.0


UNLIMITED = Limits()


class Load(msgspec.Struct, frozen=True):
    """What a slot takes: `live` answers, and of its `leases` in the last `over_seconds`, `slow` lasted too long.

    `busy` has had a record under way for `busy_seconds`, the longest there is, and need not be live any more. The agent
    takes `resident_bytes` and has grown by `grown_bytes`; memory is shared, and `suspect` says that `live` is the one
    to blame for it.
    """

    live: Manifest | None = None
    busy: Manifest | None = None
    busy_seconds: float = 0.0
    over_seconds: float = 0.0
    leases: int = 0
    slow: int = 0
    resident_bytes: int = 0
    grown_bytes: int = 0
    suspect: bool = False


NOTHING = Load()


class Excess(msgspec.Struct, frozen=True):
    """A limit that `manifest` exceeds. `spent`: only the end of the process gives back what was taken, be it a thread
    that never comes back or memory that leaked."""

    manifest: Manifest
    because: Because
    spent: bool


def excess(load: Load, limits: Limits, *, trial: bool) -> Excess | None:
    """What takes too much, if anything does."""
    if load.busy is not None and load.busy_seconds > limits.hang_seconds:
        sentence = (
            f"A record of version {load.busy.version} has taken {load.busy_seconds:.0f} s, and may take "
            f"{limits.hang_seconds:.0f} s."
        )
        return Excess(load.busy, Because("inference-hangs", sentence), spent=True)
    if load.live is None:
        return None
    if load.suspect:
        for taken, most, code, verb in (
            (load.resident_bytes, limits.resident_bytes, "memory-exceeded", "takes"),
            (load.grown_bytes, limits.growth_bytes, "memory-leaks", "has grown by"),
        ):
            if most is not None and taken > most:
                sentence = (
                    f"With version {load.live.version} the agent {verb} {taken} bytes of memory, and {most} may be."
                )
                return Excess(load.live, Because(code, sentence), spent=True)
    if limits.latency_ms is None or load.leases < LEAST_LEASES or 2 * load.slow <= load.leases:
        return None
    if not trial and load.over_seconds < PACE_SECONDS:
        return None
    sentence = (
        f"Of the last {load.leases} records of version {load.live.version}, {load.slow} took longer than the "
        f"{limits.latency_ms:.2f} ms that they may."
    )
    return Excess(load.live, Because("latency-exceeded", sentence), spent=False)


def suspect(live: Iterable[Journal]) -> str | None:
    """The key of the one to blame, of the models that are live, when memory runs out and nothing tells whose it is.

    What is on trial has proven least, then what has settled last. What runs because its successor failed comes last:
    it was there before.
    """
    rank = {Phase.TRIAL: 2, Phase.SETTLED: 1}
    last = max(live, key=lambda one: (rank.get(one.phase, 0), one.since), default=None)
    return None if last is None else last.key
