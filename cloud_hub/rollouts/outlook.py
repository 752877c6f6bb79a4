"""What is known of a rollout now: counted in the database, for the engine to decide on and for people to see."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlmodel import Session

from cloud_hub.devices import store as devices
from cloud_hub.monitoring.gates import Case, Gate, Outcomes, judge
from cloud_hub.monitoring.periods import abreast
from cloud_hub.monitoring.reader import EvidenceReader
from cloud_hub.monitoring.views import EvidenceView
from cloud_hub.monitoring.witnessed import Witnessed
from cloud_hub.releases import store as releases
from cloud_hub.rollouts import offers, pins, store
from cloud_hub.rollouts.engine import Counts, Snapshot
from cloud_hub.rollouts.freeze import active
from cloud_hub.rollouts.holding import Pinned
from cloud_hub.rollouts.pasts import Pasts
from cloud_hub.rollouts.policy import Gates, Policy
from cloud_hub.rollouts.premises import Premises
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.tables import RolloutRow
from cloud_hub.rollouts.tolerances import tolerances
from cloud_hub.rollouts.views import CohortsView, CountsView, FailureView, GateView
from cloud_hub.rollouts.wanted import Place
from cloud_hub.rollouts.waves import Line, draw

#: A device says that it runs a version somewhat after its first window with it began.
_HEARD_WITHIN = timedelta(seconds=30)


@dataclass(frozen=True)
class Outlook:
    """A snapshot, and the same as it is stored and shown."""

    snapshot: Snapshot
    seen: dict[str, Any]
    lines: tuple[Line, ...] = ()
    """The lines of its waves; drawn now, where it had none and there is a device to draw them for."""
    pinned: Pinned = field(default_factory=Pinned)


class Observer:
    """Looks at rollouts again and again; only what is new in telemetry is read each time. Thread-safe."""

    def __init__(self, silent_after: timedelta) -> None:
        self._silent_after = silent_after
        self._evidence = EvidenceReader()
        self._premises = Premises()
        self._begun: dict[str, datetime] = {}
        self.pasts = Pasts()

    def look(self, session: Session, row: RolloutRow, policy: Policy, now: datetime) -> Outlook:
        """What is known of `row` now."""
        silent_before = now - self._silent_after
        newer, carried_out = store.newer(session, row), not row.owed
        freeze = active(session, now)
        frozen = None if freeze is None else freeze.sentence
        if State(row.state) is State.REVERTING:
            left = offers.left_over(session, row.id, Place(row.model, row.slot), row.version, silent_before)
            snapshot = Snapshot(newer=newer, carried_out=carried_out, left_over=left, frozen=frozen)
            # What it was stopped for stays to be seen.
            return Outlook(snapshot, row.seen)
        targets = releases.targets(session, row.model, row.version)
        pinned = pins.outside(session, row.model, now)
        by_target, pinned_there = offers.count_eligible(session, store.selector_of(row), row.id, pinned)
        deadline = policy.deadline_seconds
        overdue_before = None if deadline is None else now - timedelta(seconds=deadline)
        by_wave = offers.counts(session, row.id, silent_before, overdue_before, policy.retries)
        total = sum(by_wave.values(), Counts())
        # As many as at the last look: for the same reasons.
        known = row.seen.get("failures") if total.failed == row.seen["counts"]["failed"] else None
        failures = (
            offers.failures(session, row.id, overdue_before, policy.retries)
            if known is None
            else [FailureView.model_validate(one) for one in known]
        )
        outcomes = Outcomes(total.succeeded, {one.code: one.devices for one in failures})
        treated, control, gates, wave_records = self._telemetry(session, row, policy.gates, outcomes)
        eligible = sum(count for target, count in by_target.items() if target in targets)
        lines = store.lines_of(row)
        if not lines and eligible:
            there = offers.standing(session, store.selector_of(row), targets, store.lab_of(row), but=pinned)
            lines = draw(policy, row.salt, there)
        snapshot = Snapshot(
            eligible=eligible,
            waves=tuple(line.total for line in lines),
            counts=total,
            # Who waits has no offer yet, and those of earlier waves do not speak in its place.
            fresh=by_wave.get(row.wave, Counts() if row.owed or row.held else total),
            wave_records=wave_records,
            gates=gates,
            newer=newer,
            carried_out=carried_out,
            held=row.held,
            frozen=frozen,
        )
        held = sum((count for target, count in pinned_there.items() if target in targets), Pinned())
        return Outlook(snapshot, _seen(snapshot, treated, control, failures, pinned=held.offered), lines, held)

    def keep(self, rollouts: Collection[str]) -> None:
        """Forgets what is known of all others."""
        self._evidence.keep(rollouts)
        self.pasts.keep_only(rollouts)
        self._begun = {rollout: begun for rollout, begun in self._begun.items() if rollout in rollouts}

    def _telemetry(
        self, session: Session, row: RolloutRow, asked: Gates, outcomes: Outcomes
    ) -> tuple[Witnessed, Witnessed, tuple[Gate, ...], int]:
        if row.wave_started_at is None:
            return Witnessed(), Witnessed(), (), 0
        read = partial(self._evidence.evidence, session, row.model, of=row.id)
        begun = self._began(session, row, outcomes)
        treated = read(row.created_at, version=row.version, slot=row.slot, cut_from=begun)
        # Who answers is the control, of a shadow too: it sees the same inputs.
        control = read(row.created_at, not_version=row.version, cut_from=begun)
        of_wave = read(row.wave_started_at, version=row.version, slot=row.slot, apart=0)
        cut_from_seconds = int((begun - row.created_at).total_seconds())
        *earlier, now = abreast(treated.periods, control.periods, cut_from_seconds=cut_from_seconds)
        names = {name for period in (*earlier, now) for shown in (period.treated, period.control) for name, _ in shown}
        targets = devices.targets(session, names)
        case = Case(
            now.treated,
            now.control,
            self.pasts.of(session, row, names),
            outcomes,
            self._premises.about(session, row.model, row.version, {*treated.confidence, *control.confidence}),
            offers.others_run(session, row.model, row.version),
            targets if len(set(targets.values())) > 1 else {},
            earlier,
            now.since_seconds,
            exposing=store.exposing(row),
            treated_for_target=treated.sample.for_target_alone,
            control_for_target=control.sample.for_target_alone,
        )
        return treated, control, judge(case, tolerances(asked)), of_wave.records

    def _began(self, session: Session, row: RolloutRow, outcomes: Outcomes) -> datetime:
        """When the first device came to run it: a rollout that waited for a night or for a person is no older than
        that, and its periods are as short."""
        begun = self._begun.get(row.id)
        if begun is None and outcomes.succeeded:
            first = devices.first_run_by(session, row.id)
            begun = max(row.created_at, first - _HEARD_WITHIN) if first else row.created_at
            self._begun[row.id] = begun
        return begun or row.created_at


def nothing_seen() -> dict[str, Any]:
    """What is stored of a rollout that nobody has looked at yet."""
    return _seen(Snapshot(), Witnessed(), Witnessed(), [])


def _seen(
    snapshot: Snapshot, treated: Witnessed, control: Witnessed, failures: list[FailureView], *, pinned: int = 0
) -> dict[str, Any]:
    counts = snapshot.counts
    return {
        "counts": CountsView(
            eligible=snapshot.eligible,
            offered=counts.offered,
            heard=counts.heard,
            succeeded=counts.succeeded,
            failed=counts.failed,
            pending=counts.pending,
            unheard=counts.unheard,
            waiting=counts.waiting,
            pinned=pinned,
            held=dict(snapshot.held),
        ).model_dump(mode="json"),
        "evidence": CohortsView(
            treated=EvidenceView.of(treated), control=EvidenceView.of(control), wave_records=snapshot.wave_records
        ).model_dump(mode="json"),
        "gates": [
            GateView(
                name=gate.name,
                verdict=gate.verdict.value,
                sentence=gate.sentence,
                value=gate.value,
                lower=gate.lower,
                upper=gate.upper,
                threshold=gate.threshold,
                exhausted=gate.exhausted,
            ).model_dump(mode="json")
            for gate in snapshot.gates
        ],
        "fresh": asdict(snapshot.fresh),
        "waves": list(snapshot.waves),
        "newer": snapshot.newer,
        "carried_out": snapshot.carried_out,
        "frozen": snapshot.frozen,
        "failures": [failure.model_dump(mode="json") for failure in failures],
    }
