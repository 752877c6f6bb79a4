"""Keeps what runs on this device as the hub's newest signed order says, with or without a network."""

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_agent.blackbox import BlackBox
from edge_agent.core.journal import Journal, fresh, manifests
from edge_agent.core.limits import UNLIMITED, Limits
from edge_agent.core.maintenance import Wall
from edge_agent.core.steps import Action, Fetch, Trial, Wait
from edge_agent.core.transitions import resumed, reverts
from edge_agent.failures import TryLater, disk_trouble
from edge_agent.live import LiveModel
from edge_agent.runtimes import open_session
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.disk import Disk
from edge_agent.store.journals import JournalStore
from edge_agent.store.orders import OrderStore
from edge_agent.store.quota import Quota
from edge_agent.update.fetcher import Fetcher
from edge_agent.update.intake import Accepted, Trust, accept, recall
from edge_agent.update.overview import Overview
from edge_agent.update.preflight import OpenSession, Preflight
from edge_agent.update.reconciler import Reconciler, Surroundings
from edge_agent.update.watch import Shared
from fleet_contract.because import Because
from fleet_contract.errors import ContractError
from fleet_contract.report import ModelReport

if TYPE_CHECKING:
    import ssl

__all__ = ["Trust", "Updater", "UpdaterState"]

_log = logging.getLogger(__name__)

#: How long a stop may go unseen when nobody calls `wake`.
GLANCE_SECONDS = 1.0
#: How long a model is left alone after a fault of the agent's own.
FAULT_SECONDS = 5.0
#: How long what was evicted stays in reports.
EVICTED_SECONDS = 60.0
#: Of troubles in one report: more would say no more.
MAX_TROUBLES = 20
_TRIAL = Trial()
_NO_BOUND = Quota()


class UpdaterState(msgspec.Struct, frozen=True):
    """What a report says of updates. `generation` is of the desired state that is followed, 0 when none ever came."""

    generation: int = 0
    models: tuple[ModelReport, ...] = ()
    refused: Because | None = None
    troubles: tuple[Because, ...] = ()
    issued_at: datetime | None = None
    """When the hub issued what is followed, by its own clock."""


def _utcnow() -> datetime:
    return datetime.now(UTC)


def _slow_seconds(limits: Limits) -> float:
    return math.inf if limits.latency_ms is None else limits.latency_ms / 1000


class Updater:
    """`receive` on any thread; `run` on a thread of its own; `slot` gives what inference reads.

    `folder` is the updater's own, made when missing; `hub` is the URL that relative URLs start from. Starting reads
    the folder, and raises OSError when that is not possible.
    """

    def __init__(
        self,
        folder: Path,
        trust: Trust,
        hub: str,
        *,
        limits: Limits = UNLIMITED,
        trial: Trial = _TRIAL,
        disk: Disk | None = None,
        quota: Quota = _NO_BOUND,
        tls: "Callable[[], ssl.SSLContext] | None" = None,
        blackbox: BlackBox | None = None,
        opener: OpenSession = open_session,
        now: Callable[[], datetime] = _utcnow,
        monotonic: Callable[[], float] = time.monotonic,
        held_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change of `state()`, on the thread that made it; must return soon and not raise."""
        self.at_rest = threading.Event()
        """Set once nothing is left to do but to fetch or to wait: what was settled before this start answers again."""
        self.turned_at = monotonic()
        """When, in monotonic seconds, `run` last began to look around: long ago means that a model hangs it."""
        self._trust = trust
        self._now = now
        self._monotonic = monotonic
        self._disk = disk or Disk()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._orders = OrderStore(folder / "desired.json", self._disk)
        self._artifacts = ArtifactStore(folder / "artifacts", self._disk, quota)
        self._journals = JournalStore(folder / "journals", self._disk)
        self._blackbox = blackbox or BlackBox(folder)
        self._limits = limits
        preflight = Preflight(opener, limits)
        self._around = Surroundings(
            self._artifacts,
            self._journals,
            preflight,
            self._blackbox,
            trial,
            limits,
            now,
            monotonic,
            lambda: Wall(now()),
        )
        self._fetcher = Fetcher(self._artifacts, hub, self.wake, tls=tls)

        self._changed = threading.Condition()
        # Guarded by the condition; all else below belongs to the thread that runs.
        self._slots: dict[str, LiveModel] = {}
        self._inbox: Accepted | None = None
        self._refused: Because | None = None
        self._woken = False
        self._state = UpdaterState()

        self._following: Accepted | None = None
        self._unsaved: Because | None = None
        self._eviction: Because | None = None
        self._faults: dict[str, tuple[float, Because]] = {}
        self._evicted: dict[str, float] = {}
        self._reconcilers = {key: self._resumed(journal) for key, journal in self._journals.load().items()}
        self._overview = Overview(self._reconcilers, limits, self._blackbox, monotonic, held_bytes)
        # From here on the marks are those of this process: what the last one left is in the journals.
        self._blackbox.begin()
        self._recall()
        self._publish()

    def slot(self, key: str) -> LiveModel:
        """The slot of `key`, "digits" or "digits@shadow": always the same one, also before anything is known of it."""
        with self._changed:
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = LiveModel(lambda manifest: self._blackbox.mark(key, manifest))
                slot.slow_seconds = _slow_seconds(self._limits)
            return slot

    def receive(self, payload: bytes) -> None:
        """Takes in a desired state. Never raises on bad content: `state().refused` says why it is not followed."""
        with self._changed:
            newest = self._inbox or self._following
            try:
                self._inbox = accept(payload, self._trust, newest, self._now())
                self._refused = None
            except ContractError as error:
                _log.warning("A desired state is refused: %s", error.because)
                self._refused = error.because
            self._woken = True
            self._changed.notify_all()

    def run(self, stop: threading.Event) -> None:
        """Reconciles until `stop` is set and `wake` was called (or a second has passed); then empties all slots."""
        try:
            while not stop.is_set():
                seconds = self._round()
                if seconds > 0:
                    self.at_rest.set()
                with self._changed:
                    self._changed.wait_for(lambda: self._woken or stop.is_set(), min(seconds, GLANCE_SECONDS))
                    self._woken = False
        finally:
            self.at_rest.set()
            self._fetcher.aim(())
            for reconciler in self._reconcilers.values():
                reconciler.close()
            self._blackbox.close()
            self._publish()

    def unwell(self) -> Because | None:
        """Why the process must end, if it must: a model hangs, or has taken what it does not give back. On any thread.

        Which model that is will be known to the next start.
        """
        return self._overview.unwell()

    def watch(self) -> None:
        """Lets Python tell the next start of fatal signals. For the whole process: to be called by who owns it."""
        self._blackbox.watch()

    def allow(self, quota: Quota) -> None:
        """From now on artifacts may take so much of the disk."""
        self._artifacts.quota = quota
        self.wake()

    def limit(self, limits: Limits) -> None:
        """From now on models may take so much of the device, also those that run already."""
        with self._changed:
            self._limits = self._around.limits = self._overview.limits = limits
            self._around.preflight = Preflight(self._around.preflight.open_session, limits)
            for slot in self._slots.values():
                slot.slow_seconds = _slow_seconds(limits)
        self.wake()

    def go_by(self, wall: Callable[[], Wall | None]) -> None:
        """From now on maintenance windows go by what `wall` shows; until then, by UTC."""
        self._around.wall = wall

    def wake(self) -> None:
        """Makes `run` look around at once."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def state(self) -> UpdaterState:
        """What is, for the next report."""
        with self._changed:
            return self._state

    def _resumed(self, journal: Journal) -> Reconciler:
        """Goes on with a journal, after what its models had to do with the end of the last process."""
        digests = {manifest.artifact.digest for manifest in manifests(journal)}
        ends = {digest: self._blackbox.end(journal.key, digest) for digest in digests}
        after, saved = resumed(journal, ends, self._now()), True
        if after != journal:
            _log.warning("%s: %s: %s", after.key, after.phase, after.because)
            try:
                self._journals.save(after, urgent=reverts(journal, after))
            except TryLater as error:
                _log.error("%s", error.because)
                saved = False
        return Reconciler(after, self.slot(journal.key), self._around, saved=saved)

    def _recall(self) -> None:
        """Goes on with the desired state of before the reboot, however old: offline it is the newest there is."""
        try:
            self._follow(recall(self._orders.load(), self._trust))
        except FileNotFoundError:
            return
        except (OSError, ContractError) as error:
            # The journals still name what was wanted of each model.
            self._unsaved = Because("desired-unreadable", f"The last desired state cannot be read back: {error}.")
            _log.error("%s", self._unsaved)

    def _follow(self, accepted: Accepted) -> None:
        for key in accepted.wanted:
            if key not in self._reconcilers:
                journal = fresh(key, self._now())
                self._reconcilers[key] = Reconciler(journal, self.slot(key), self._around, saved=False)
        for key, reconciler in self._reconcilers.items():
            reconciler.want(accepted.wanted.get(key))
        with self._changed:
            self._following = accepted

    def _round(self) -> float:
        """One step of each model. The seconds until the next is due."""
        self.turned_at = self._monotonic()
        self._take_in()
        shared = self._overview.shared()
        actions = [self._turn(key, reconciler, shared) for key, reconciler in self._reconcilers.items()]
        self._overview.rounded()
        self._evict()
        self._forget()
        self._journals.restock()
        # Two slots may want the same bytes: one fetches them, and the other sees them on disk.
        fetches: dict[str, Fetch] = {}
        for action in actions:
            if isinstance(action, Fetch):
                fetches.setdefault(action.blob.digest, action)
        self._fetcher.aim(list(fetches.values()))
        self._publish()
        if any(not isinstance(action, Fetch | Wait) for action in actions):
            return 0.0
        waits = [action.seconds for action in actions if isinstance(action, Wait)]
        return max(0.0, min((seconds for seconds in waits if seconds is not None), default=GLANCE_SECONDS))

    def _take_in(self) -> None:
        for result in self._fetcher.results():
            for reconciler in self._reconcilers.values():
                if reconciler.fetching != result.fetch:
                    continue
                if result.error is None:
                    reconciler.fetched(result.fetch)
                else:
                    reconciler.failed(result.fetch, result.error)
        with self._changed:
            accepted, self._inbox = self._inbox, None
        if accepted is not None and (self._following is None or accepted.text != self._following.text):
            _log.info("Desired state %d is followed.", accepted.generation)
            self._follow(accepted)
            self._unsaved = Because("unsaved", "The desired state is not on disk yet.")
        if self._unsaved is not None and self._following is not None:
            try:
                self._orders.save(self._following.kept)
                self._unsaved = None
            except OSError as error:
                # It is followed all the same. After a reboot the hub sees an old generation, and sends it again.
                self._unsaved = disk_trouble(error, "writing the desired state").because

    def _forget(self) -> None:
        """Lets go of what was evicted, once it was reported for a while."""
        now = self._monotonic()
        forgotten = {key for key, one in self._reconcilers.items() if one.forgotten and one.wanted is None}
        self._evicted = {key: self._evicted.get(key, now) for key in forgotten}
        for key, since in self._evicted.items():
            if now - since >= EVICTED_SECONDS:
                del self._reconcilers[key]

    def _turn(self, key: str, reconciler: Reconciler, shared: Shared) -> Action:
        self.turned_at = self._monotonic()
        until, _ = self._faults.get(key, (0.0, None))
        if (left := until - self._monotonic()) > 0:
            return Wait(left)
        self._faults.pop(key, None)
        try:
            return reconciler.turn(shared)
        except Exception as error:  # noqa: BLE001, see below
            # A fault of ours, with one model, must not stop the others, nor the thread.
            _log.exception("The updater failed with %s.", key)
            trouble = Because("agent-fault", f"The updater failed with {key}: {error!r}.")
            self._faults[key] = self._monotonic() + FAULT_SECONDS, trouble
            return Wait(FAULT_SECONDS)

    def _evict(self) -> None:
        kept: set[str] = set()
        proven: set[str] = set()
        for reconciler in self._reconcilers.values():
            kept |= reconciler.kept()
            proven |= reconciler.proven()
        try:
            self._artifacts.keep(kept, proven)
            self._eviction = None
        except TryLater as error:
            self._eviction = error.because

    def _publish(self) -> None:
        kept = self._artifacts
        found = (self._unsaved, self._eviction, kept.trouble, kept.damage, self._blackbox.trouble)
        own = [one for one in found if one is not None]
        troubles = [*self._journals.troubles, *own, *(trouble for _, trouble in self._faults.values())]
        for reconciler in self._reconcilers.values():
            troubles += reconciler.troubles()
        with self._changed:
            before = self._state
            self._state = UpdaterState(
                generation=0 if self._following is None else self._following.generation,
                models=tuple(self._reconcilers[key].report() for key in sorted(self._reconcilers)),
                refused=self._refused,
                troubles=tuple(dict.fromkeys(troubles))[:MAX_TROUBLES],
                issued_at=None if self._following is None else self._following.issued_at,
            )
            changed = self._state != before
        if changed:
            self.on_change()
