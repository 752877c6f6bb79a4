"""Decides the next step of one model towards the newest order. No I/O, no clock, no randomness.

The loop around it observes, decides, makes the journal durable, acts, and starts again. Every action may be repeated,
and every decision starts from what is there, so a reboot at any point is just another turn.

    IDLE       nothing is wanted, nothing runs
    EVICTED    and nothing of it is on disk any more
    FETCHING   bytes are missing
    VERIFYING  the bytes are there, and their hashes are read back from disk
    PREFLIGHT  loaded beside what runs, warmed up, its golden set replayed; then, with a maintenance window that is
               closed, put away until it opens, and proven once more
    TRIAL      switched to, and on probation; the settled release waits on disk
    SETTLED    proven here
    REJECTED   it failed here: what was settled runs on, until another release is wanted, or a new try

An order leads from any phase to FETCHING, or straight to SETTLED when it wants what is settled. Whatever the phase,
what answers and takes too much of the device is gone at once, and so is what ended the last process (`resumed`).
"""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace as change

from edge_agent.core.journal import Journal, Order, current
from edge_agent.core.limits import excess
from edge_agent.core.maintenance import closed
from edge_agent.core.steps import Decision, Discard, Fetch, Forget, Observed, Prepare, Setback, Switch, Verify, Wait
from edge_agent.core.transitions import (
    MAX_DAMAGED,
    demoted,
    entered,
    followed,
    promoted,
    put_away,
    rejected,
    wanted_manifest,
)
from fleet_contract.because import Because
from fleet_contract.manifest import Blob, Manifest
from fleet_contract.report import Phase

#: So long must the settled release have answered, before the bad ends that it had are forgotten.
HEALTHY_SECONDS = 300.0
#: How often a trial is looked at.
TRIAL_GLANCE_SECONDS = 0.25
_UNDERWAY = frozenset({Phase.FETCHING, Phase.VERIFYING, Phase.PREFLIGHT})


def decide(journal: Journal, observed: Observed) -> Decision:
    """The next step of one model."""
    taken = excess(observed.load, observed.limits, trial=journal.phase is Phase.TRIAL)
    journal = _learned(followed(journal, observed.wanted, observed.now), observed)
    if taken is None:
        return _next(journal, observed)
    decision = _next(_failed(journal, Setback(Switch(taken.manifest), taken.because), observed.now), observed)
    return change(decision, spent=taken.because) if taken.spent else decision


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


def _candidates(journal: Journal) -> list[Manifest | None]:
    candidates = [current(journal)]
    if journal.phase is Phase.PREFLIGHT and isinstance(journal.wanted, Order):
        candidates.append(journal.wanted.manifest)
    return candidates


def _learned(journal: Journal, observed: Observed) -> Journal:
    """The journal after what became of the last actions."""
    loads = [rest.step.manifest for rest in observed.resting if isinstance(rest.step, Prepare)]
    # It failed and the process lives: that is not what bad ends count.
    if journal.wanted_at_risk and observed.live != wanted_manifest(journal) and wanted_manifest(journal) in loads:
        journal = change(journal, wanted_at_risk=False)
    if journal.settled_at_risk and observed.live != journal.settled and journal.settled in loads:
        journal = change(journal, settled_at_risk=False)
    healthy = observed.live == journal.settled and observed.live_seconds >= HEALTHY_SECONDS
    if journal.settled_ends and healthy:
        journal = change(journal, settled_ends=0)
    return journal if observed.setback is None else _failed(journal, observed.setback, observed.now)


def _failed(journal: Journal, setback: Setback, now: datetime) -> Journal:
    """The journal after a step that failed for good."""
    if isinstance(setback.step, Forget):
        return journal
    manifest, because = setback.step.manifest, setback.because
    damaged = isinstance(setback.step, Fetch | Verify)
    if manifest is not None and manifest == journal.settled:
        return demoted(journal, because, now, damaged=damaged)
    if manifest is None or manifest != wanted_manifest(journal) or journal.phase is Phase.REJECTED:
        return journal
    if damaged and journal.damaged + 1 < MAX_DAMAGED:
        return entered(change(journal, damaged=journal.damaged + 1), Phase.FETCHING, because, now)
    return rejected(journal, because, now)


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
            journal = entered(journal, Phase.FETCHING, because, observed.now)
        else:
            journal = demoted(journal, because, observed.now, damaged=True)
        return _next(journal, observed)
    if manifest.artifact.digest not in observed.verified:
        because = Because("started", f"The hash of version {manifest.version} is read back before it is loaded.")
        return _unless_resting(Decision(journal, Verify(manifest, manifest.artifact), because, proven=True), observed)
    return _loading(journal, observed, manifest, None)


def _loading(journal: Journal, observed: Observed, manifest: Manifest, golden: Blob | None) -> Decision:
    """Loads `manifest`, noted before: a load that ends the process is known by that alone."""
    step = Prepare(manifest, golden)
    resting = _unless_resting(Decision(journal, step, journal.because), observed)
    if isinstance(resting.action, Wait):
        return resting
    if observed.prepared is not None:
        because = Because("one-at-a-time", f"Version {manifest.version} is loaded first: it is what should answer now.")
        return Decision(journal, Discard(observed.prepared), because, proven=True)
    because = Because("loading", f"Version {manifest.version} is loaded and warmed up.")
    if manifest == journal.settled:
        return Decision(change(journal, settled_at_risk=True), step, because, proven=True)
    journal = change(journal, wanted_at_risk=True)
    if golden is not None:
        journal = entered(journal, Phase.PREFLIGHT, because, observed.now)
    return Decision(journal, step, because)


def _unless_resting(decision: Decision, observed: Observed) -> Decision:
    for rest in observed.resting:
        if rest.step == decision.action and rest.seconds > 0:
            journal = decision.journal
            of_order = not isinstance(rest.step, Forget) and rest.step.manifest == wanted_manifest(journal)
            if journal.phase in _UNDERWAY and of_order:
                # It is the order itself that rests: that is why its phase lasts.
                journal = change(journal, because=rest.because)
            return Decision(journal, Wait(rest.seconds), rest.because, proven=True)
    return decision


def _advance(journal: Journal, observed: Observed) -> Decision:
    """The next step towards the order, from what is there."""
    match journal.phase:
        case Phase.SETTLED | Phase.REJECTED:
            return Decision(journal, Wait(None), journal.because)
        case Phase.IDLE | Phase.EVICTED:
            return _eviction(journal, observed)
        case Phase.TRIAL:
            return _probation(journal, observed)
        case Phase.FETCHING | Phase.VERIFYING | Phase.PREFLIGHT:
            return _approach(journal, observed)
    assert_never(journal.phase)


def _eviction(journal: Journal, observed: Observed) -> Decision:
    if journal.phase is Phase.EVICTED and observed.forgotten:
        return Decision(journal, Wait(None), journal.because)
    because = Because("evicted", f"Nothing wants {journal.key}, and nothing of it is kept.")
    gone = entered(journal, Phase.EVICTED, because, observed.now)
    # It makes room, also where there is none for a journal.
    return _unless_resting(Decision(gone, Forget(), because, proven=True), observed)


def _approach(journal: Journal, observed: Observed) -> Decision:
    order = journal.wanted
    assert isinstance(order, Order)
    manifest = order.manifest
    blobs = ((manifest.artifact, order.artifact_url), (manifest.golden.blob, order.golden_url))
    for blob, url in blobs:
        if blob.digest not in observed.whole:
            because = journal.because if journal.phase is Phase.FETCHING else order.because
            journal = entered(change(journal, preflighted=False), Phase.FETCHING, because, observed.now)
            return _unless_resting(Decision(journal, Fetch(manifest, blob, url), because), observed)
    window = None if journal.admitted else order.window
    held = closed(manifest.version, window, observed.wall)
    if held is not None and observed.prepared == manifest:
        # Until then it would take memory, and every power cut would count against it.
        return Decision(put_away(journal, held.because, observed.now), Discard(manifest), held.because)
    if held is not None and journal.preflighted:
        return Decision(put_away(journal, held.because, observed.now), Wait(held.seconds), held.because)
    if observed.prepared != manifest:
        for blob, _ in blobs:
            if blob.digest not in observed.verified:
                because = Because("fetched", f"All {blob.size_bytes} bytes of {blob.digest[:19]} are on disk.")
                journal = entered(journal, Phase.VERIFYING, because, observed.now)
                return _unless_resting(Decision(journal, Verify(manifest, blob), because), observed)
        return _loading(journal, observed, manifest, manifest.golden.blob)
    because = Because("preflight-passed", observed.prepared_because)
    total = observed.answered + observed.failed
    usual = observed.failed / total if total else 0.0
    journal = change(journal, settled_at_risk=False, usual_errors=usual, admitted=True)
    return Decision(entered(journal, Phase.TRIAL, because, observed.now), Switch(manifest), because)


def _probation(journal: Journal, observed: Observed) -> Decision:
    assert isinstance(journal.wanted, Order)
    trial, failed, total = observed.trial, observed.failed, observed.answered + observed.failed
    allowed = max(trial.error_share, 2 * journal.usual_errors)
    too_many = failed > allowed * total
    counts = f"{failed} of {total} records failed in {observed.live_seconds:.0f} s, and {allowed:.1%} may"
    if too_many and failed >= trial.least_errors:
        because = Because("trial-errors", f"On trial, {counts}.")
        return _next(rejected(journal, because, observed.now), observed)
    # A record that has been under way for as long as a trial lasts is no silence: it may hang.
    over = observed.live_seconds >= trial.seconds and observed.load.busy_seconds <= trial.seconds
    if not too_many and (over or total >= trial.records):
        because = Because("trial-passed", f"On trial, {counts}.")
        return Decision(promoted(journal, because, observed.now), Wait(None), because)
    return Decision(journal, Wait(TRIAL_GLANCE_SECONDS), journal.because)
