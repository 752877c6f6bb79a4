"""The states of a rollout, all of them, and which may follow which."""

from enum import StrEnum


class State(StrEnum):
    """Where a rollout is. STOPPED is by a gate or by failures, with what is out left out; PAUSED is by a person."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    REVERTING = "reverting"
    COMPLETED = "completed"
    REVERTED = "reverted"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"


#: From each state, those that may follow. Whatever is not here cannot happen.
FOLLOWING: dict[State, frozenset[State]] = {
    State.RUNNING: frozenset({State.PAUSED, State.STOPPED, State.REVERTING, State.COMPLETED, State.SUPERSEDED}),
    State.PAUSED: frozenset({State.RUNNING, State.STOPPED, State.REVERTING, State.SUPERSEDED}),
    State.STOPPED: frozenset({State.RUNNING, State.REVERTING, State.SUPERSEDED}),
    State.REVERTING: frozenset({State.REVERTED, State.ABORTED}),
    State.COMPLETED: frozenset(),
    State.REVERTED: frozenset(),
    State.ABORTED: frozenset(),
    State.SUPERSEDED: frozenset(),
}

#: Something may still happen by itself: what the clock looks at.
UNFINISHED = frozenset(state for state, following in FOLLOWING.items() if following)
#: Exposed devices are won by a rollout in one of these; by others in force those are kept that follow it.
TAKING = frozenset({State.RUNNING, State.COMPLETED})
#: Devices that are exposed to a rollout in one of these run its version. Reverting ones have an exposure of 0.
IN_FORCE = frozenset({State.RUNNING, State.PAUSED, State.STOPPED, State.COMPLETED, State.SUPERSEDED})
