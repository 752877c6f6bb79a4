"""Which exposed devices still wait for their order, and what for: remembered, so that a look does not read the fleet.

Nothing depends on it: what is not here is found anew, and what is here in vain is dropped when it is brought.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from heapq import heappop, heappush

from cloud_hub.rollouts.admission import Held

_UNASKED = ""
_AWAY = "away"
_JITTER = "jitter"
#: When a device may have its order, at the soonest.
Moment = Callable[[str], datetime]


class Queue:
    """The devices of one rollout that wait, at one revision of it. Those that are away wait for themselves, and each
    that has a `moment` of its own (None: nobody has any more) until then. `groups` are those of its policy's label, as
    they were then."""

    def __init__(
        self, revision: int, devices: Iterable[str], groups: Mapping[str, str], moment: Moment | None = None
    ) -> None:
        self.revision = revision
        self.groups = groups
        self._moment = moment
        self._why: dict[str, str] = {}
        self._away: set[str] = set()
        # The moment of each is worked out once, and the next one is found without looking at the others.
        self._early: set[str] = set()
        self._moments: list[tuple[datetime, str]] = []
        for device in devices:
            if moment is None:
                self._why[device] = _UNASKED
            else:
                self._put_off(device, moment(device))

    @property
    def idle(self) -> bool:
        """Whether nobody waits but those that are away."""
        return not self._why and not self._early

    def waiting(self, now: datetime) -> list[str]:
        """Those that may be asked about, in the order in which they came, or their moments did."""
        while self._moments and self._moments[0][0] <= now:
            _, device = heappop(self._moments)
            if device in self._early:
                self._early.remove(device)
                self._why[device] = _UNASKED
        return list(self._why)

    def held(self) -> dict[str, int]:
        """How many wait for what."""
        counted = Counter(self._why.values())
        # None of these is asked about, and so none of those that are waits for its moment.
        return {**counted, **{why: len(of) for why, of in ((_JITTER, self._early), (_AWAY, self._away)) if of}}

    def hold(self, devices: Iterable[str], why: str) -> None:
        for device in devices:
            self._why[device] = why

    def ask(self, devices: Iterable[str]) -> None:
        """They are about to be asked about: what they waited for before may be over."""
        self.hold(devices, _UNASKED)

    def settle(self, asked: Iterable[str]) -> None:
        """Those `asked` about that nothing was said of had nothing to wait for."""
        for device in asked:
            if self._why.get(device) == _UNASKED:
                del self._why[device]

    def note(self, said: Mapping[str, Held | None]) -> None:
        """What became of devices that wait, or now have to."""
        for device, why in said.items():
            if why == _JITTER and device in self._early:
                continue
            self._why.pop(device, None)
            self._away.discard(device)
            self._early.discard(device)
            if why == _AWAY:
                self._away.add(device)
            elif why == _JITTER and self._moment is not None:
                self._put_off(device, self._moment(device))
            elif why is not None:
                self._why[device] = why

    def empty(self) -> None:
        """Nobody waits but those that are away."""
        self._why.clear()
        self._early.clear()
        self._moments.clear()

    def let_go(self, devices: Iterable[str]) -> None:
        """None of `devices` would have an order if it came back."""
        self._away.difference_update(devices)

    def _put_off(self, device: str, until: datetime) -> None:
        self._early.add(device)
        heappush(self._moments, (until, device))


class Queues:
    """By rollout. Used by the one thread that orders."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}
        self._told: dict[str, dict[str, int]] = {}

    def of(self, rollout: str, revision: int) -> Queue | None:
        found = self._queues.get(rollout)
        return found if found is not None and found.revision == revision else None

    def fill(self, rollout: str, queue: Queue) -> Queue:
        self._queues[rollout] = queue
        return queue

    def note(self, rollout: str, said: Mapping[str, Held | None]) -> None:
        if (queue := self._queues.get(rollout)) is not None:
            queue.note(said)

    def look_at(self, devices: Iterable[str], held: Mapping[str, Mapping[str, Held | None]]) -> None:
        """`devices` were looked at, and nothing but what is `held` waits: others were moved, pinned or taken over."""
        for rollout, queue in self._queues.items():
            waiting = held.get(rollout, {})
            queue.let_go(device for device in devices if device not in waiting)

    def keep(self, owed: Collection[str]) -> None:
        """Only of the rollouts that are `owed` orders devices wait for anything but themselves."""
        for rollout, queue in self._queues.items():
            if rollout not in owed:
                queue.empty()

    def forget(self, rollout: str) -> None:
        self._queues.pop(rollout, None)
        self._told.pop(rollout, None)

    def forget_all(self) -> None:
        self._queues.clear()
        self._told.clear()

    def changed(self) -> dict[str, dict[str, int]]:
        """How many wait for what, by rollout, where that is not as it was when this was last asked."""
        now = {rollout: queue.held() for rollout, queue in self._queues.items()}
        changed = {rollout: held for rollout, held in now.items() if held != self._told.get(rollout)}
        self._told = now
        return changed
