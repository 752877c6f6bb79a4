"""Brings one model to what is wanted of it: observe, decide, make the journal durable, act, repeat."""

import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import assert_never

import msgspec
from msgspec.structs import replace

from edge_agent.blackbox import BlackBox
from edge_agent.core.journal import Journal, Order, Refused, closed, kept, proven, reported
from edge_agent.core.limits import Limits
from edge_agent.core.maintenance import Wall
from edge_agent.core.steps import (
    Action,
    Decision,
    Discard,
    Fetch,
    Forget,
    Observed,
    Prepare,
    Rest,
    Setback,
    Step,
    Switch,
    Trial,
    Verify,
    Wait,
)
from edge_agent.core.transitions import reverts
from edge_agent.core.update import decide
from edge_agent.failures import ArtifactRejected, TryLater
from edge_agent.live import LiveModel, Loaded
from edge_agent.runtimes.session import Session
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.journals import JournalStore
from edge_agent.update.preflight import Preflight
from edge_agent.update.watch import Shared, Watch
from fleet_contract.because import Because
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest
from fleet_contract.report import ModelReport, Phase

_log = logging.getLogger(__name__)

LONGEST_REST_SECONDS = 60.0
#: How soon a journal that could not be written is written again.
UNSAVED_SECONDS = 1.0
_NOTHING = Shared()


class Surroundings(msgspec.Struct):
    """What all models on a device share. `now` is aware, `monotonic` in seconds. The limits may change at any time."""

    artifacts: ArtifactStore
    journals: JournalStore
    preflight: Preflight
    blackbox: BlackBox
    trial: Trial
    limits: Limits
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    wall: Callable[[], Wall | None]
    """What maintenance windows go by; asked only where there is one."""


class _Resting(msgspec.Struct, frozen=True):
    step: Step
    until: float
    times: int
    because: Because


class Reconciler:
    """One slot of a model. All methods on one thread."""

    def __init__(self, journal: Journal, slot: LiveModel, around: Surroundings, *, saved: bool) -> None:
        self.wanted: Order | Refused | None = journal.wanted
        self.fetching: Fetch | None = None
        """What the last turn asked the caller to fetch."""
        self.preparing: tuple[Manifest, float] | None = None
        """What is being loaded, and since when, in monotonic seconds. May be read on any thread."""
        self.spent: Because | None = None
        """Why only the end of the process helps. May be read on any thread."""
        self._journal = journal
        self._saved = journal if saved else None
        self._slot = slot
        self._around = around
        self._prepared: Loaded | None = None
        self._prepared_because = ""
        self._switched_at = 0.0
        self._setback: Setback | None = None
        self._resting: list[_Resting] = []
        self._unsaved: Because | None = None
        self._watch = Watch(journal.key, slot)
        # Put in on the threads that infer.
        self._lost: deque[Setback] = deque()
        self._broken: Prepare | None = None
        self._last: Manifest | None = None

    @property
    def journal(self) -> Journal:
        return self._journal

    @property
    def slot(self) -> LiveModel:
        return self._slot

    @property
    def live(self) -> Manifest | None:
        return self._slot.manifest

    @property
    def prepared(self) -> Manifest | None:
        """The manifest of what is loaded beside it, and does not answer yet."""
        return None if self._prepared is None else self._prepared.manifest

    @property
    def parked(self) -> bool:
        """Whether what is live has given its memory back."""
        return self._slot.parked

    @property
    def forgotten(self) -> bool:
        """Whether nothing of the model is kept, and nothing wants it."""
        return self._journal.phase is Phase.EVICTED and self._saved is None

    def want(self, wanted: Order | Refused | None) -> None:
        """The newest order, which supersedes any other; None: the model is not wanted."""
        if wanted != self.wanted:
            # A new order, or new URLs: what failed before may go well now.
            self._resting = []
        self.wanted = wanted

    def turn(self, shared: Shared = _NOTHING) -> Action:
        """One step, while all models together take what is `shared`. A `Fetch` or `Wait` that comes back is for the
        caller to see to; all else is done."""
        if self._lost and self._setback is None:
            self._setback = self._lost.popleft()
        decision = decide(self._journal, self._observed(shared))
        self.fetching = None
        if not self._save(decision):
            return Wait(UNSAVED_SECONDS)
        if decision.spent is not None and self.spent is None and self._unsaved is None:
            _log.error("%s: the agent must end: %s", self._journal.key, decision.spent)
            self.spent = decision.spent
        self._setback = None
        action = decision.action
        if isinstance(action, Fetch):
            self.fetching = action
        if isinstance(action, Fetch | Wait):
            return action
        _log.info("%s: %s %s", self._journal.key, type(action).__name__.lower(), decision.because)
        try:
            self._act(action)
        except VedetteError as error:
            self.failed(action, error)
        except Exception as error:
            self._broke(action, error)
            raise
        else:
            self._forget(action)
        return action

    def fetched(self, fetch: Fetch) -> None:
        """A fetch that `turn` gave has come to its end."""
        self._forget(fetch)

    def failed(self, step: Step, error: VedetteError) -> None:
        """`step` came to nothing: for now, when `error` is `TryLater`, or for good."""
        _log.warning("%s: %s failed: %s", self._journal.key, type(step).__name__.lower(), error.because)
        before = next((one.times for one in self._resting if one.step == step), 0)
        self._forget(step)
        if isinstance(error, TryLater):
            # It brings hashes and searches of its own, and a start at which nothing fails waits for none of it.
            import random

            times = 1 if error.progressed else before + 1
            # Spread out, so that a fleet does not come back to its hub in one moment.
            spread = random.uniform(0.5, 1.0)  # noqa: S311
            seconds = min(LONGEST_REST_SECONDS, 2.0 ** min(times - 1, 10)) * spread
            seconds = max(seconds, error.after_seconds * (0.5 + spread))
            self._resting.append(_Resting(step, self._around.monotonic() + seconds, times, error.because))
        else:
            self._setback = Setback(step, error.because)

    def report(self) -> ModelReport:
        """After `close`, of what ran until then: an orderly stop takes nothing back."""
        return reported(self._journal, self._slot.manifest or self._last)

    def troubles(self) -> list[Because]:
        """What is wrong here that is not the release's fault."""
        unsaved = [] if self._unsaved is None else [self._unsaved]
        return unsaved + [one.because for one in self._resting]

    def kept(self) -> frozenset[str]:
        """The digests that must stay on disk for this model."""
        return kept([self._journal] if self._saved is None else [self._journal, self._saved])

    def proven(self) -> frozenset[str]:
        """Of those, what no new order may cost."""
        return proven([self._journal] if self._saved is None else [self._journal, self._saved])

    def close(self) -> None:
        """An orderly stop: nothing answers any more, and nothing is counted against what was cut short."""
        self._discard()
        self._last = self._slot.manifest
        self._slot.switch(None)
        self._save(Decision(closed(self._journal), Wait(None), self._journal.because))

    def _observed(self, shared: Shared) -> Observed:
        around = self._around
        health, monotonic = self._slot.health(), around.monotonic()
        blobs = [blob for manifest in self._manifests() for blob in (manifest.artifact, manifest.golden.blob)]
        windowed = isinstance(self.wanted, Order) and self.wanted.window is not None
        return Observed(
            now=around.now(),
            wanted=self.wanted,
            whole=frozenset(blob.digest for blob in blobs if around.artifacts.is_whole(blob)),
            verified=frozenset(blob.digest for blob in blobs if around.artifacts.is_verified(blob)),
            prepared=None if self._prepared is None else self._prepared.manifest,
            prepared_because=self._prepared_because,
            live=self._slot.manifest,
            live_seconds=monotonic - self._switched_at,
            forgotten=self._saved is None,
            load=self._watch.load(shared, monotonic),
            limits=around.limits,
            answered=health.count,
            failed=health.errors,
            setback=self._setback,
            resting=tuple(Rest(one.step, one.until - monotonic, one.because) for one in self._resting),
            trial=around.trial,
            wall=around.wall() if windowed else None,
        )

    def _broke(self, step: Step, error: Exception) -> None:
        """A fault of ours, or of a runtime that breaks its promises: with a load, twice is enough."""
        if isinstance(step, Prepare):
            if step == self._broken:
                self.failed(
                    step,
                    ArtifactRejected(
                        f"Loading it fails: {error!r}.", "The agent's log says where.", code="load-breaks"
                    ),
                )
            self._broken = step

    def _manifests(self) -> list[Manifest]:
        orders = [one.manifest for one in (self.wanted, self._journal.wanted) if isinstance(one, Order)]
        return orders + [one for one in (self._journal.settled, self._journal.previous) if one is not None]

    def _save(self, decision: Decision) -> bool:
        """Whether the decision may be acted upon."""
        before, journal = self._journal, decision.journal
        # What is about to be removed need not be written.
        if journal != self._saved and journal.phase is not Phase.EVICTED:
            try:
                self._around.journals.save(journal, urgent=reverts(self._saved, journal))
            except TryLater as error:
                if self._unsaved is None:
                    _log.error("%s", error.because)
                self._unsaved = error.because
                if not decision.proven:
                    return False
            else:
                self._saved, self._unsaved = journal, None
        self._journal = journal
        if (before.phase, before.because) != (journal.phase, journal.because):
            _log.info("%s: %s: %s", journal.key, journal.phase, journal.because)
        return True

    def _act(self, step: Verify | Prepare | Switch | Discard | Forget) -> None:
        around = self._around
        match step:
            case Verify():
                around.artifacts.verify(step.blob)
            case Prepare():
                self._prepare(step)
            case Switch():
                self._switch(step.manifest)
            case Discard():
                self._discard()
            case Forget():
                around.journals.remove(self._journal.key)
                self._saved = None
            case _:
                assert_never(step)

    def _switch(self, manifest: Manifest | None) -> None:
        if manifest is None:
            self._slot.switch(None)
            return
        prepared, self._prepared = self._prepared, None
        self._slot.switch(prepared)
        self._switched_at = self._around.monotonic()
        self._watch.begin(self._switched_at)
        self._doubt(manifest)

    def _doubt(self, manifest: Manifest) -> None:
        """`manifest` was loaded: should it be loaded again, be it after months, its bytes are read back before."""
        for blob in (manifest.artifact, manifest.golden.blob):
            self._around.artifacts.doubt(blob)

    def _prepare(self, step: Prepare) -> None:
        around, digest = self._around, step.manifest.artifact.digest
        mark = around.blackbox.mark(self._journal.key, step.manifest, loading=True)
        self.preparing = step.manifest, around.monotonic()
        place = mark.enter()
        try:
            loaded = around.preflight.load(step.manifest, around.artifacts.path(digest))
            proof = self._proof(loaded, step)
            self._prepared, self._prepared_because = replace(loaded, reopen=partial(self._reopen, loaded)), proof
        finally:
            mark.leave(place)
            mark.close()
            self.preparing = None

    def _reopen(self, loaded: Loaded) -> Session:
        """On any thread: the session of a live model whose memory was given back."""
        manifest = loaded.manifest
        try:
            return self._around.preflight.reopen(manifest, self._around.artifacts.path(manifest.artifact.digest))
        except ArtifactRejected as error:
            # What has run before is damaged on disk: its release is dealt with as if it were found so on starting.
            self._lost.append(Setback(Verify(manifest, manifest.artifact), error.because))
            raise

    def _discard(self) -> None:
        if self._prepared is not None:
            self._prepared.session.close()
            self._doubt(self._prepared.manifest)
            self._prepared = None

    def _proof(self, loaded: Loaded, step: Prepare) -> str:
        if step.golden is None:
            return ""
        try:
            return self._around.preflight.prove(loaded, self._around.artifacts.path(step.golden.digest))
        except BaseException:
            loaded.session.close()
            raise

    def _forget(self, step: Step) -> None:
        self._resting = [one for one in self._resting if one.step != step]
