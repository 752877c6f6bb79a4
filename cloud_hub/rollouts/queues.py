"""Which exposed devices still wait for their order, and what for: remembered, so that a look does not read the fleet.

Nothing depends on it: what is not here is found anew, and what is here in vain is dropped when it is brought.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from cloud_hub.rollouts.admission import Held

_UNASKED = ""
_AWAY = "away"


class Queue:
    """The devices of one rollout that wait, at one revision of it. Those that are away wait for themselves. `groups`
    are those of its policy's label, as they were then."""

    def __init__(self, revision: int, devices: Iterable[str], groups: Mapping[str, str]) -> None:
        self.revision = revision
        self.groups = groups
        self._why: dict[str, str] = dict.fromkeys(devices, _UNASKED)
        self._away: set[str] = set()

    def waiting(self) -> list[str]:
        """Those that may be asked about, in the order in which they came."""
        return list(self._why)

    def held(self) -> dict[str, int]:
        """How many wait for what."""
        counted = dict(Counter(self._why.values()))
        return {**counted, **({_AWAY: len(self._away)} if self._away else {})}

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
            self._why.pop(device, None)
            self._away.discard(device)
            if why == _AWAY:
                self._away.add(device)
            elif why is not None:
                self._why[device] = why

    def empty(self) -> None:
        """Nobody waits but those that are away."""
        self._why.clear()

    def let_go(self, devices: Iterable[str]) -> None:
        """None of `devices` would have an order if it came back."""
        self._away.difference_update(devices)


class Queues:
    """By rollout. Used by the one thread that orders."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}
        self._told: dict[str, dict[str, int]] = {}

    def of(self, rollout: str, revision: int) -> Queue | None:
        found = self._queues.get(rollout)
        return found if found is not None and found.revision == revision else None

    def fill(self, rollout: str, revision: int, devices: Iterable[str], groups: Mapping[str, str]) -> Queue:
        self._queues[rollout] = Queue(revision, devices, groups)
        return self._queues[rollout]

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
