"""Decides the next step of one model towards the newest order. No I/O, no clock, no randomness.

The loop around it observes, decides, makes the journal durable, acts, and starts again. Every action may be repeated,
and every decision starts from what is there, so a reboot at any point is just another turn.

    IDLE       nothing is wanted, nothing runs
    FETCHING   bytes are missing
    VERIFYING  the bytes are there, and their hashes are read back from disk
    PREFLIGHT  loaded beside what runs, warmed up, its golden set replayed
    TRIAL      switched to, and on probation; the settled release waits on disk
    SETTLED    proven here
    REJECTED   it failed here: what was settled runs on, until another release is wanted

An order leads from any phase to FETCHING, or straight to SETTLED when it wants what is settled.
"""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from edge_agent.core.journal import Journal, Order, Refused, current
from edge_agent.core.steps import Decision, Discard, Fetch, Observed, Prepare, Switch, Verify, Wait
from fleet_contract.because import Because
from fleet_contract.manifest import Blob, Manifest
from fleet_contract.report import Phase

#: Loads of a new release that may end the process (and start it again) before the release is rejected.
MAX_ATTEMPTS = 2
#: The same for the settled release. More, for it was proven, and power cuts come in rows.
MAX_STARTS = 3
#: Downloads of a release whose bytes may be wrong: one may be the network's fault.
MAX_DAMAGED = 2
#: How often a trial is looked at.
TRIAL_GLANCE_SECONDS = 0.25
_UNDERWAY = frozenset({Phase.FETCHING, Phase.VERIFYING, Phase.PREFLIGHT})


def decide(journal: Journal, observed: Observed) -> Decision:
    """The next step of one model."""
    return _next(_learned(_followed(journal, observed), observed), observed)


def _next(journal: Journal, observed: Observed) -> Decision:
    if observed.prepared is not None and observed.prepared not in _candidates(journal):
        because = Because("superseded", f"Version {observed.prepared.version} was prepared and is not wanted any more.")
        return Decision(journal, Discard(observed.prepared), because, proven=True)
    recall = _recall(journal, observed)
    if recall is not None and not isinstance(recall.action, Wait):
        return recall
    advance = _advance(journal if recall is None else recall.journal, observed)
    if recall is None or not isinstance(advance.action, Wait):
        return advance
    waits = [one.action.seconds for one in (recall, advance) if isinstance(one.action, Wait)]
    return Decision(advance.journal, Wait(min((s for s in waits if s is not None), default=None)), recall.because)


def _entered(journal: Journal, phase: Phase, because: Because, now: datetime) -> Journal:
    since = journal.since if journal.phase is phase else now
    return replace(journal, phase=phase, because=because, since=since)


def _candidates(journal: Journal) -> list[Manifest | None]:
    candidates = [current(journal)]
    if journal.phase is Phase.PREFLIGHT and isinstance(journal.wanted, Order):
        candidates.append(journal.wanted.manifest)
    return candidates


def _followed(journal: Journal, observed: Observed) -> Journal:
    """The journal with the newest order in it: whatever an older one was doing is over."""
    wanted, before = observed.wanted, journal.wanted
    match wanted:
        case None:
            if journal.phase is Phase.IDLE:
                return journal
            because = Because("not-wanted", f"The hub's newest order does not list {journal.key}.")
            return Journal(journal.model, Phase.IDLE, because, observed.now, slot=journal.slot)
        case Refused():
            if isinstance(before, Refused) and before.release == wanted.release and before.because == wanted.because:
                return replace(journal, wanted=wanted)
            journal = replace(journal, wanted=wanted, attempts=0, damaged=0)
            return _entered(journal, Phase.REJECTED, wanted.because, observed.now)
        case Order():
            if isinstance(before, Order) and before.manifest == wanted.manifest:
                return replace(journal, wanted=wanted)
            journal = replace(journal, wanted=wanted, attempts=0, damaged=0)
            if wanted.manifest == journal.settled:
                because = Because(
                    "proven", f"Version {wanted.manifest.version} is wanted, and is what was proven here."
                )
                return _entered(journal, Phase.SETTLED, because, observed.now)
            return _entered(journal, Phase.FETCHING, wanted.because, observed.now)
    assert_never(wanted)


def _learned(journal: Journal, observed: Observed) -> Journal:
    """The journal after what became of the last actions."""
    wanted = journal.wanted.manifest if isinstance(journal.wanted, Order) else None
    for rest in observed.resting:
        # It failed and the process lives: that is not what attempts and starts count.
        if isinstance(rest.step, Prepare) and rest.step.manifest == wanted:
            journal = replace(journal, attempts=0)
        if isinstance(rest.step, Prepare) and rest.step.manifest == journal.settled:
            journal = replace(journal, starts=0)
    if journal.starts and observed.live is not None and observed.live == journal.settled:
        journal = replace(journal, starts=0)
    if observed.setback is None:
        return journal
    step, because = observed.setback.step, observed.setback.because
    damaged = isinstance(step, Verify)
    if step.manifest is not None and step.manifest == journal.settled:
        return _demoted(journal, because, observed.now, damaged=damaged)
    if step.manifest is not None and step.manifest == wanted and journal.phase is not Phase.REJECTED:
        if damaged and journal.damaged + 1 < MAX_DAMAGED:
            journal = replace(journal, damaged=journal.damaged + 1)
            return _entered(journal, Phase.FETCHING, because, observed.now)
        return _rejected(journal, because, observed.now)
    return journal


def _rejected(journal: Journal, because: Because, now: datetime) -> Journal:
    if isinstance(journal.wanted, Order) and journal.previous == journal.wanted.manifest:
        # What has just failed is nothing to fall back on.
        journal = replace(journal, previous=None)
    return _entered(replace(journal, attempts=0), Phase.REJECTED, because, now)


def _demoted(journal: Journal, because: Because, now: datetime, *, damaged: bool) -> Journal:
    """The settled release cannot run any more: back to the one before it."""
    lost = journal.settled
    journal = replace(journal, settled=journal.previous, previous=None, starts=0)
    if isinstance(journal.wanted, Order) and journal.wanted.manifest == lost:
        # Bytes can be had again; a release that cannot be loaded cannot.
        return _entered(journal, Phase.FETCHING if damaged else Phase.REJECTED, because, now)
    if isinstance(journal.wanted, Order) and journal.wanted.manifest == journal.settled:
        return _entered(journal, Phase.SETTLED, because, now)
    return journal


def _recall(journal: Journal, observed: Observed) -> Decision | None:
    """The step that lets answer what should answer now, or None when it does."""
    manifest = current(journal)
    if manifest == observed.live:
        return None
    if manifest is None:
        return Decision(journal, Switch(None), journal.because)
    trial = journal.phase is Phase.TRIAL
    if manifest == observed.prepared:
        because = Because("prepared", f"Version {manifest.version} is loaded and warmed up.")
        return Decision(journal, Switch(manifest), because, proven=not trial)
    if manifest.artifact.digest not in observed.whole:
        because = Because("artifact-lost", f"The artifact of version {manifest.version} is not on disk any more.")
        if trial:
            journal = _entered(journal, Phase.FETCHING, because, observed.now)
        else:
            journal = _demoted(journal, because, observed.now, damaged=True)
        return _next(journal, observed)
    if manifest.artifact.digest not in observed.verified:
        because = Because("started", f"The hash of version {manifest.version} is read back before it is loaded.")
        return _unless_resting(Decision(journal, Verify(manifest, manifest.artifact), because, proven=True), observed)
    return _loading(journal, observed, manifest, None)


def _loading(journal: Journal, observed: Observed, manifest: Manifest, golden: Blob | None) -> Decision:
    """Loads `manifest`, counted before: a load that ends the process is known by its count alone."""
    settled = manifest == journal.settled
    count, most = (journal.starts, MAX_STARTS) if settled else (journal.attempts, MAX_ATTEMPTS)
    if count >= most:
        because = Because("load-kills", f"The agent ended {count} times while version {manifest.version} was starting.")
        if settled:
            return _next(_demoted(journal, because, observed.now, damaged=False), observed)
        return _next(_rejected(journal, because, observed.now), observed)
    step = Prepare(manifest, golden)
    resting = _unless_resting(Decision(journal, step, journal.because), observed)
    if isinstance(resting.action, Wait):
        return resting
    because = Because("loading", f"Version {manifest.version} is loaded: try {count + 1} of {most}.")
    if settled:
        return Decision(replace(journal, starts=count + 1), step, because, proven=True)
    journal = replace(journal, attempts=count + 1)
    if golden is not None:
        journal = _entered(journal, Phase.PREFLIGHT, because, observed.now)
    return Decision(journal, step, because)


def _unless_resting(decision: Decision, observed: Observed) -> Decision:
    for rest in observed.resting:
        if rest.step == decision.action and rest.seconds > 0:
            journal = decision.journal
            wanted = journal.wanted.manifest if isinstance(journal.wanted, Order) else None
            if journal.phase in _UNDERWAY and rest.step.manifest == wanted:
                # It is the order itself that rests: that is why its phase lasts.
                journal = replace(journal, because=rest.because)
            return Decision(journal, Wait(rest.seconds), rest.because, proven=True)
    return decision


def _advance(journal: Journal, observed: Observed) -> Decision:
    """The next step towards the order, from what is there."""
    match journal.phase:
        case Phase.IDLE | Phase.SETTLED | Phase.REJECTED:
            return Decision(journal, Wait(None), journal.because)
        case Phase.TRIAL:
            return _probation(journal, observed)
        case Phase.FETCHING | Phase.VERIFYING | Phase.PREFLIGHT:
            return _approach(journal, observed)
    assert_never(journal.phase)


def _approach(journal: Journal, observed: Observed) -> Decision:
    assert isinstance(journal.wanted, Order)
    manifest = journal.wanted.manifest
    blobs = ((manifest.artifact, journal.wanted.artifact_url), (manifest.golden.blob, journal.wanted.golden_url))
    for blob, url in blobs:
        if blob.digest not in observed.whole:
            because = journal.because if journal.phase is Phase.FETCHING else journal.wanted.because
            journal = _entered(journal, Phase.FETCHING, because, observed.now)
            return _unless_resting(Decision(journal, Fetch(manifest, blob, url), because), observed)
    for blob, _ in blobs:
        if blob.digest not in observed.verified:
            because = Because("fetched", f"All {blob.size_bytes} bytes of {blob.digest[:19]} are on disk.")
            journal = _entered(journal, Phase.VERIFYING, because, observed.now)
            return _unless_resting(Decision(journal, Verify(manifest, blob), because), observed)
    if observed.prepared != manifest:
        return _loading(journal, observed, manifest, manifest.golden.blob)
    because = Because("preflight-passed", observed.prepared_because)
    total = observed.answered + observed.failed
    journal = replace(journal, attempts=1, usual_errors=observed.failed / total if total else 0.0)
    return Decision(_entered(journal, Phase.TRIAL, because, observed.now), Switch(manifest), because)


def _probation(journal: Journal, observed: Observed) -> Decision:
    assert isinstance(journal.wanted, Order)
    trial, failed, total = observed.trial, observed.failed, observed.answered + observed.failed
    allowed = max(trial.error_share, 2 * journal.usual_errors)
    excess = failed > allowed * total
    counts = f"{failed} of {total} records failed in {observed.live_seconds:.0f} s, and {allowed:.1%} may"
    if excess and failed >= trial.least_errors:
        because = Because("trial-errors", f"On trial, {counts}.")
        return _next(_rejected(journal, because, observed.now), observed)
    if not excess and (total >= trial.records or observed.live_seconds >= trial.seconds):
        because = Because("trial-passed", f"On trial, {counts}.")
        journal = replace(
            journal, settled=journal.wanted.manifest, previous=journal.settled, attempts=0, starts=0, damaged=0
        )
        return Decision(_entered(journal, Phase.SETTLED, because, observed.now), Wait(None), because)
    return Decision(journal, Wait(TRIAL_GLANCE_SECONDS), journal.because)
