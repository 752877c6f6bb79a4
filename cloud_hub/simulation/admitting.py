"""Which exposed devices get their order now: the hub's own rules of admission, on arrays."""

from collections import Counter, deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from cloud_hub.rollouts.admission import MINUTE, NEVER, Flow, Limits, Mover, admit, limited, room
from cloud_hub.rollouts.engine import Rollout
from cloud_hub.rollouts.policy import Policy
from cloud_hub.simulation.fleet import Ints
from cloud_hub.simulation.world import World

#: With groups, so many devices are asked about one by one in each look.
_ASKED = 2_000
#: There is one rollout.
_ONLY = "rollout"


class Admitting:
    """Carries out what a rollout exposes. `held` are the devices that have to wait, by what for."""

    def __init__(self, policy: Policy, world: World, group_size: int, chance: np.random.Generator) -> None:
        self._policy = policy
        self._world = world
        self._limited = limited(policy)
        self._lately: deque[tuple[float, int]] = deque()
        jitter = policy.rate.jitter_seconds if policy.rate else 0.0
        self._jitter = chance.random(world.fleet.devices) * jitter if jitter else None
        # Groups are spread over the fleet, as the hash of their devices' names spreads them.
        groups = chance.permutation(world.fleet.devices) // group_size
        self._group: Ints | None = groups if policy.group else None
        self._opened: dict[int, float] = {}
        self.held: Mapping[str, int] = {}

    @property
    def carried_out(self) -> bool:
        """Whether nobody waits but those that are away."""
        return not any(count for why, count in self.held.items() if why != "away")

    def carry_out(self, rollout: Rollout) -> None:
        """Orders the version to those whom `rollout` exposes and who may have it now."""
        world = self._world
        exposed = world.fleet.ends[rollout.exposed - 1] if rollout.exposed else 0
        waiting = np.flatnonzero(~world.ordered[:exposed])
        if not self._limited or not waiting.size:
            world.offer(waiting, rollout.wave)
            self.held = {}
            return
        connected = world.fleet.connected(waiting, world.now_seconds)
        held = {"away": int(np.count_nonzero(~connected))}
        ripe = waiting[connected]
        if self._jitter is not None:
            opened = self._opened.setdefault(rollout.wave, world.now_seconds)
            late = self._jitter[ripe] > world.now_seconds - opened
            held["jitter"], ripe = int(np.count_nonzero(late)), ripe[~late]
        left, why = room(self._policy, self._flow(rollout))
        if self._group is None:
            chosen = ripe if left is None else ripe[:left]
            held[why] = ripe.size - chosen.size
        else:
            chosen, by = self._one_by_one(ripe, rollout)
            held.update(by)
            held[why] = held.get(why, 0) + max(0, ripe.size - _ASKED)
        world.offer(chosen, rollout.wave)
        if chosen.size:
            self._lately.append((world.now_seconds, int(chosen.size)))
        self.held = {reason: count for reason, count in held.items() if count}

    def _flow(self, rollout: Rollout) -> Flow:
        now, counts = self._world.now_seconds, self._world.counts
        since = timedelta(seconds=now - self._lately[-1][0]) if self._lately else NEVER
        # The last is remembered for however long it is ago.
        while len(self._lately) > 1 and self._lately[0][0] <= now - MINUTE.total_seconds():
            self._lately.popleft()
        lately = sum(count for at, count in self._lately if at > now - MINUTE.total_seconds())
        in_flight = counts.offered - counts.succeeded - counts.failed
        return Flow(in_flight, lately, since, counts.succeeded, rollout.rate_lifted)

    def _one_by_one(self, ripe: Ints, rollout: Rollout) -> tuple[Ints, dict[str, int]]:
        assert self._group is not None
        world, asked = self._world, ripe[:_ASKED]
        ordered = np.flatnonzero(world.ordered)
        busy = Counter(str(group) for group in self._group[ordered[~world.settled(ordered)]].tolist())
        groups = {str(device): str(self._group[device]) for device in asked.tolist()}
        movers = [Mover(device, rollouts=(_ONLY,)) for device in groups]
        # Moments of their own are kept before.
        moment = datetime.min.replace(tzinfo=UTC)
        limits = Limits(self._policy, "", moment, self._flow(rollout), groups, busy)
        said = admit(movers, {_ONLY: limits}, moment + timedelta(days=1))[_ONLY]
        chosen = [int(device) for device, why in said.items() if why is None]
        by = Counter(str(why) for why in said.values() if why is not None)
        return np.array(chosen, dtype=np.int64), dict(by)
