"""Brings one model to what is wanted of it: observe, decide, make the journal durable, act, repeat."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from edge_agent.core.journal import Journal, Order, Refused, closed, kept, proven, reported
from edge_agent.core.steps import (
    Action,
    Decision,
    Discard,
    Fetch,
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
from edge_agent.core.update import decide
from edge_agent.failures import TryLater
from edge_agent.live import LiveModel, Loaded
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.journals import JournalStore
from edge_agent.update.preflight import Preflight
from fleet_contract.because import Because
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest
from fleet_contract.report import ModelReport

_log = logging.getLogger(__name__)

LONGEST_REST_SECONDS = 60.0
#: How soon a journal that could not be written is written again.
UNSAVED_SECONDS = 1.0


@dataclass(frozen=True)
class Surroundings:
    """What all models on a device share. `now` is aware, `monotonic` in seconds."""

    artifacts: ArtifactStore
    journals: JournalStore
    preflight: Preflight
    trial: Trial
    now: Callable[[], datetime]
    monotonic: Callable[[], float]


@dataclass(frozen=True)
class _Resting:
    step: Step
    until: float
    times: int
    because: Because


class Reconciler:
    """One model. All methods on one thread."""

    def __init__(self, journal: Journal, slot: LiveModel, around: Surroundings, *, saved: bool) -> None:
        self.wanted: Order | Refused | None = journal.wanted
        self.fetching: Fetch | None = None
        """What the last turn asked the caller to fetch."""
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

    def want(self, wanted: Order | Refused | None) -> None:
        """The newest order, which supersedes any other; None: the model is not wanted."""
        if wanted != self.wanted:
            # A new order, or new URLs: what failed before may go well now.
            self._resting = []
        self.wanted = wanted

    def turn(self) -> Action:
        """One step. A `Fetch` or `Wait` that comes back is for the caller to see to; all else is done."""
        decision = decide(self._journal, self._observed())
        self.fetching = None
        if not self._save(decision):
            return Wait(UNSAVED_SECONDS)
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
            times = 1 if error.progressed else before + 1
            # Spread out, so that a fleet does not come back to its hub in one moment.
            spread = random.uniform(0.5, 1.0)  # noqa: S311
            seconds = min(LONGEST_REST_SECONDS, 2.0 ** min(times - 1, 10)) * spread
            seconds = max(seconds, error.after_seconds * (0.5 + spread))
            self._resting.append(_Resting(step, self._around.monotonic() + seconds, times, error.because))
        else:
            self._setback = Setback(step, error.because)

    def report(self) -> ModelReport:
        return reported(self._journal, self._slot.manifest)

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
        self._slot.switch(None)
        self._save(Decision(closed(self._journal), Wait(None), self._journal.because))

    def _observed(self) -> Observed:
        around = self._around
        health, monotonic = self._slot.health(), around.monotonic()
        blobs = [blob for manifest in self._manifests() for blob in (manifest.artifact, manifest.golden.blob)]
        return Observed(
            now=around.now(),
            wanted=self.wanted,
            whole=frozenset(blob.digest for blob in blobs if around.artifacts.is_whole(blob)),
            verified=frozenset(blob.digest for blob in blobs if around.artifacts.is_verified(blob)),
            prepared=None if self._prepared is None else self._prepared.manifest,
            prepared_because=self._prepared_because,
            live=self._slot.manifest,
            live_seconds=monotonic - self._switched_at,
            answered=health.count,
            failed=health.errors,
            setback=self._setback,
            resting=tuple(Rest(one.step, one.until - monotonic, one.because) for one in self._resting),
            trial=around.trial,
        )

    def _manifests(self) -> list[Manifest]:
        orders = [one.manifest for one in (self.wanted, self._journal.wanted) if isinstance(one, Order)]
        return orders + [one for one in (self._journal.settled, self._journal.previous) if one is not None]

    def _save(self, decision: Decision) -> bool:
        """Whether the decision may be acted upon."""
        before, journal = self._journal, decision.journal
        if journal != self._saved:
            try:
                self._around.journals.save(journal)
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

    def _act(self, step: Verify | Prepare | Switch | Discard) -> None:
        around = self._around
        match step:
            case Verify():
                around.artifacts.verify(step.blob)
            case Prepare():
                loaded = around.preflight.load(step.manifest, around.artifacts.path(step.manifest.artifact.digest))
                self._prepared, self._prepared_because = loaded, self._proof(loaded, step)
            case Switch(manifest=None):
                self._slot.switch(None)
            case Switch():
                prepared, self._prepared = self._prepared, None
                self._slot.switch(prepared)
                self._switched_at = around.monotonic()
            case Discard():
                self._discard()
            case _:
                assert_never(step)

    def _discard(self) -> None:
        if self._prepared is not None:
            self._prepared.session.close()
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
