"""Which of a rollout's devices are held back now, how many, and by what. Pure.

Each device is in one of these at the most: one that has no order is held before it, one that has it is held after it,
and one that is pinned is no concern of the rollout.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from cloud_hub.rollouts.admission import devices_per_minute
from cloud_hub.rollouts.engine import AWAY, Rollout, Snapshot, following
from cloud_hub.rollouts.policy import DAYS, MaintenanceWindow, Policy
from cloud_hub.rollouts.states import State


@dataclass(frozen=True)
class Hold:
    """So many devices are held by `code`; the sentence says what would let them go."""

    code: str
    devices: int
    sentence: str


@dataclass(frozen=True)
class Pinned:
    """So many devices that a rollout would be for, were they not pinned. `offered` of them were offered it before: they
    are still counted among those that it is offered to, and no longer among those that it is for."""

    devices: int = 0
    offered: int = 0

    def __add__(self, other: "Pinned") -> "Pinned":
        return Pinned(self.devices + other.devices, self.offered + other.offered)


def holds(rollout: Rollout, policy: Policy, snapshot: Snapshot, pinned: Pinned) -> tuple[Hold, ...]:
    """All that holds devices of `rollout`."""
    return tuple(one for one in _of_state(rollout, policy, snapshot, pinned) if one.devices > 0)


def _of_state(rollout: Rollout, policy: Policy, snapshot: Snapshot, pinned: Pinned) -> Iterator[Hold]:
    by_pins = Hold("pinned", pinned.devices, "Pins keep every rollout from them, and none counts them.")
    match rollout.state:
        case State.RUNNING | State.COMPLETED:
            yield from _before_their_order(rollout, policy, snapshot)
            yield from _after_it(policy, snapshot)
            yield _later(rollout, snapshot, pinned)
            yield by_pins
        case State.PAUSED | State.STOPPED:
            left = snapshot.eligible - (snapshot.counts.offered - pinned.offered)
            said = f"Nobody new is offered it while it is {rollout.state.value}: resume it, or abort it."
            yield Hold(rollout.state.value, left, said)
            yield from _after_it(policy, snapshot)
            yield by_pins
        case State.REVERTING:
            yield from _on_the_way_back(rollout, snapshot)
        case State.REVERTED | State.ABORTED | State.SUPERSEDED:
            return
        case _ as never:
            assert_never(never)


def _before_their_order(rollout: Rollout, policy: Policy, snapshot: Snapshot) -> Iterator[Hold]:
    if snapshot.frozen is not None:
        covers = snapshot.waves[rollout.wave] if 0 <= rollout.wave < len(snapshot.waves) else 0
        yield Hold("frozen", covers - snapshot.counts.offered, snapshot.frozen)
        return
    for code, devices in sorted(snapshot.held.items(), key=lambda one: (-one[1], one[0])):
        yield Hold(code, devices, _says(code, policy, snapshot))


def _says(code: str, policy: Policy, snapshot: Snapshot) -> str:
    counts = snapshot.counts
    if code == "rate" and policy.rate is not None:
        now = devices_per_minute(policy.rate, counts.succeeded)
        more = ", and more as they succeed" if policy.rate.growth_factor > 1 else ""
        more += "; nobody waits for it once every gate is passed" if policy.rate.until_proven else ""
        return f"{now:,.4g} a minute are offered it now{more}."
    if code == "cap":
        under_way = counts.offered - counts.succeeded - counts.failed
        return f"{under_way:,} are on their way, and at most {policy.max_in_flight:,} may be."
    if code == "group" and policy.group is not None:
        most = policy.group.max_in_flight
        return f"At most {most} with the same {policy.group.label} may switch at once, and others of theirs are at it."
    if code == "jitter" and policy.rate is not None:
        return f"Each has a moment of its own within {policy.rate.jitter_seconds:g} s of the wave's beginning."
    if code == AWAY:
        return "They are not connected, and have their order when they are back."
    return "They are about to be looked at."


def _after_it(policy: Policy, snapshot: Snapshot) -> Iterator[Hold]:
    if policy.window is not None:
        said = f"They have fetched and proven it, and switch {_when(policy.window)}, by the clock on their wall."
        yield Hold("window", snapshot.counts.waiting, said)
    said = "They were offered it and have said nothing since; until they do, they count for nothing."
    yield Hold("unheard", snapshot.counts.unheard, said)


def _when(window: MaintenanceWindow) -> str:
    days = "" if set(window.days) == set(DAYS) else f"on {', '.join(window.days)} "
    return f"{days}from {window.start} to {window.end}"


def _later(rollout: Rollout, snapshot: Snapshot, pinned: Pinned) -> Hold:
    wave, last = following(rollout, snapshot), len(snapshot.waves)
    covers = snapshot.waves[rollout.wave] if rollout.wave >= 0 and snapshot.waves else 0
    # Who came after its line was drawn may stand below it, too.
    covers = max(covers, snapshot.counts.offered + sum(snapshot.held.values()))
    left, first = (0, last) if wave is None else (snapshot.eligible - (covers - pinned.offered), wave + 1)
    said = f"They belong to wave {last}." if first == last else f"They belong to waves {first} to {last}."
    return Hold("wave", left, said)


def _on_the_way_back(rollout: Rollout, snapshot: Snapshot) -> Iterator[Hold]:
    left = snapshot.left_over
    if snapshot.frozen is not None:
        yield Hold("frozen", left.returning, snapshot.frozen)
    else:
        said = f"They still have version {rollout.version}, and are ordered back."
        yield Hold("returning", left.returning, said)
    yield Hold(AWAY, left.unreachable, "They are not connected, and go back when they are.")
    yield Hold("pinned", left.pinned, f"Pins keep them at version {rollout.version}, until they end.")
