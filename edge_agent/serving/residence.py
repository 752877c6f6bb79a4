"""Keeps all loaded models within a memory budget: who was not asked for longest is parked."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator

from edge_agent import memory
from edge_agent.core.journal import split
from edge_agent.core.residency import Resident, to_park
from edge_agent.live import Lease, LiveModel
from fleet_contract.desired import DEFAULT_SLOT

_log = logging.getLogger(__name__)


class Residence:
    """The budget of the slots that `known` names; `slot` gives each. Safe for any number of threads.

    What is at work is never parked, so the budget may be exceeded for as long as all of it works at once.
    """

    def __init__(self, slot: Callable[[str], LiveModel], known: Callable[[], Iterable[str]], budget_bytes: int) -> None:
        self._slot = slot
        self._known = known
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()

    def begin(self, key: str, slot: LiveModel) -> Lease | None:
        """A lease of `slot`, which is parked: room is made for it first. Raises what opening it raises."""
        with self._lock:
            found = slot.residence()
            if found is not None and found.parked:
                self._make_room(key, found.memory_bytes)
            return slot.begin()

    def begin_beside(self, slot: LiveModel) -> Lease | None:
        """A lease of `slot`, which answers nobody: None where it is parked and there is no room beside what is loaded.
        Nothing is parked for it. Raises what opening it raises."""
        with self._lock:
            found = slot.residence()
            if found is not None and found.parked and self._budget_bytes:
                taken = sum(one.memory_bytes for one in self._residents())
                if taken + found.memory_bytes > self._budget_bytes:
                    return None
        # Without the lock: nobody who is to be answered waits for a shadow to be opened.
        return slot.begin()

    def settle(self) -> None:
        """Parks what is too much: a model that has been switched to has grown, or was not there before."""
        with self._lock:
            self._make_room("", 0)

    def _make_room(self, wanted: str, wanted_bytes: int) -> None:
        if not self._budget_bytes:
            return
        going = to_park(self._residents(), self._budget_bytes, wanted, wanted_bytes)
        parked = [key for key in going if self._slot(key).park()]
        if parked:
            memory.give_back()
            _log.info("parked %s: all models together may take %d bytes", ", ".join(parked), self._budget_bytes)

    def _residents(self) -> Iterator[Resident]:
        for key in self._known():
            found = self._slot(key).residence()
            if found is not None and not found.parked:
                spare = split(key)[1] != DEFAULT_SLOT
                yield Resident(key, found.memory_bytes, found.used_at, found.parkable, spare)
