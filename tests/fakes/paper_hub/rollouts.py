"""Rollouts that exist only on paper; what is computed of them is computed by the hub's own code."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cloud_hub.access.actor import OPERATOR
from cloud_hub.because import BecauseView
from cloud_hub.changes import Changes
from cloud_hub.devices.selector_text import parse
from cloud_hub.devices.selectors import cohorts_of, matches, written_out
from cloud_hub.devices.views import CohortView, DeviceView
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.page import Page, PageRequest
from cloud_hub.revisions import AsSeen, check_seen
from cloud_hub.rollouts.engine import Counts, Rollout, Snapshot
from cloud_hub.rollouts.explain import conditions, earliest
from cloud_hub.rollouts.holding import Pinned, holds
from cloud_hub.rollouts.origin import Origin
from cloud_hub.rollouts.shown import preview_view
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.views import (
    ConditionView,
    DecisionView,
    ExplanationView,
    GateReadingsView,
    HoldView,
    LatestDecisionView,
    ManifestVersionView,
    PreviewView,
    RanView,
    RetryView,
    RolloutIn,
    RolloutView,
)
from cloud_hub.rollouts.wanted import Candidate
from cloud_hub.rollouts.waves import Stander, added, draw
from fleet_contract.because import Because
from tests.fakes.paper_hub.views import FIRST, because, page_of


@dataclass
class FakeRollouts:
    changes: Changes
    now: Callable[[], datetime]
    rollouts: dict[str, RolloutView] = field(default_factory=dict)
    decided: dict[str, list[DecisionView]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    readings: dict[str, list[GateReadingsView]] = field(default_factory=dict)
    devices: dict[str, DeviceView] = field(default_factory=dict)
    by: list[str] = field(default_factory=list)
    pinned: dict[str, int] = field(default_factory=dict)
    cohorts: dict[str, CohortView] = field(default_factory=dict)
    created: list[tuple[RolloutIn, Origin]] = field(default_factory=list)
    by_request: dict[str, str] = field(default_factory=dict)

    def page(
        self, request: PageRequest = FIRST, *, model: str | None = None, state: str | None = None
    ) -> Page[RolloutView]:
        found = [
            one
            for one in self.rollouts.values()
            if (not model or one.model == model) and (not state or one.state == state)
        ]
        return page_of(sorted(found, key=lambda one: one.created_at, reverse=True), request)

    def get(self, rollout: str) -> RolloutView:
        if rollout not in self.rollouts:
            raise NotFound(f"There is no rollout {rollout!r}.", "", code="rollout-unknown")
        return self.rollouts[rollout]

    def decisions(self, rollout: str, request: PageRequest) -> Page[DecisionView]:
        return page_of(self.decided[self.get(rollout).id][::-1], request)

    def openings(self, rollout: str) -> list[tuple[int, datetime]]:
        return [(one.wave, one.at) for one in self.decided[rollout] if one.because.code == "wave-opened"]

    def gates(self, rollout: str) -> list[GateReadingsView]:
        return self.readings.get(self.get(rollout).id, [])

    def explain(self, rollout: str) -> ExplanationView:
        """By the hub's own conditions, from what the rollout shows."""
        one = self.get(rollout)
        seen = one.counts
        counts = Counts(seen.offered, seen.heard, seen.succeeded, seen.failed, seen.waiting)
        known = Rollout(
            one.id,
            one.model,
            one.version,
            State(one.state),
            Because(one.because.code, one.because.sentence),
            one.wave,
            created_by=one.created_by,
            soaking_since=one.updated_at,
        )
        snapshot = Snapshot(
            eligible=one.counts.eligible,
            waves=tuple(wave.covers for wave in one.waves),
            counts=counts,
            fresh=counts,
            wave_records=one.evidence.wave_records,
            carried_out=not seen.held,
            held=seen.held,
            gates=tuple(
                Gate(g.name, Verdict(g.verdict), g.sentence, g.value, g.lower, g.upper, g.threshold) for g in one.gates
            ),
        )
        return ExplanationView(
            rollout=rollout,
            state=one.state,
            wave=one.wave,
            because=one.because,
            conditions=[
                ConditionView(**asdict(condition)) for condition in conditions(known, one.policy, snapshot, self.now())
            ],
            earliest=earliest(known, one.policy, snapshot, self.now()),
            held=[
                HoldView(**asdict(hold))
                for hold in holds(known, one.policy, snapshot, Pinned(self.pinned.get(rollout, 0)))
            ],
            failures=one.failures,
        )

    def latest_decisions(self, limit: int) -> list[LatestDecisionView]:
        found = [
            LatestDecisionView(
                rollout=one.id,
                model=one.model,
                version=one.version,
                number=decision.number,
                at=decision.at,
                state=decision.state,
                wave=decision.wave,
                because=decision.because,
            )
            for one in self.rollouts.values()
            for decision in self.decided[one.id]
        ]
        return sorted(found, key=lambda one: one.at, reverse=True)[:limit]

    def matching(self, selector: str) -> dict[str, int]:
        targets: dict[str, int] = {}
        for one in self._meant(selector):
            targets[one.target] = targets.get(one.target, 0) + 1
        return targets

    def preview(self, wanted: RolloutIn, wave: int = 0, limit: int = 100) -> PreviewView:
        lines = draw(wanted.policy, wanted.salt or "", self._standing(wanted))
        adds = [one.id for one in self._standing(wanted) if added(lines, wave, wanted.salt or "", one)]
        return preview_view(wanted.salt or "", lines, wave, sorted(adds)[:limit])

    def create(self, wanted: RolloutIn, origin: Origin) -> RolloutView:
        lines = draw(wanted.policy, wanted.salt or "", self._standing(wanted))
        if not lines[-1].total:
            raise Invalid("Version 9 has no artifact for 1 of the devices.", "Compile it.", code="artifact-missing")
        if origin.request is not None and (made := self.by_request.get(origin.request.key)) is not None:
            return self.rollouts[made]
        self.created.append((wanted, origin))
        known = next(iter(self.rollouts.values()))
        manifest = origin.manifest and ManifestVersionView(**asdict(origin.manifest))
        made = f"{wanted.model}-new{'' if len(self.created) == 1 else len(self.created)}"
        asked = {"model": wanted.model, "version": wanted.version, "slot": wanted.slot, "policy": wanted.policy}
        self.rollouts[made] = known.model_copy(
            update=asked
            | {"id": made, "state": "running", "created_by": origin.by, "manifest": manifest}
            | {"created_at": self.now()}
        )
        if origin.request is not None:
            self.by_request[origin.request.key] = made
        return self.decide(made, because("created", f"Created by {origin.by}."))

    def newest_of_manifest(self, name: str) -> RolloutView | None:
        made = [one for one in self.rollouts.values() if one.manifest is not None and one.manifest.name == name]
        return max(made, key=lambda one: one.manifest.generation, default=None) if made else None  # type: ignore[union-attr]

    def _meant(self, selector: str) -> list[DeviceView]:
        wanted = parse(selector)
        if unknown := cohorts_of(wanted) - self.cohorts.keys():
            raise Invalid(f"There is no cohort {min(unknown)!r}.", "Save it first.", code="cohort-unknown")
        wanted = written_out(wanted, {name: parse(one.selector) for name, one in self.cohorts.items()})
        return [one for one in self.devices.values() if matches(wanted, Candidate(one.id, one.target, one.labels))]

    def _standing(self, wanted: RolloutIn) -> list[Stander]:
        return [Stander(one.id, one.target) for one in self._meant(wanted.policy.selector)]

    def approve(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: AsSeen = None) -> RolloutView:
        check_seen(f"Rollout {rollout}", self.get(rollout).revision, seen)
        return self._ask(rollout, "approve", "running", reason, {"running"}, by)

    def pause(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: AsSeen = None) -> RolloutView:
        check_seen(f"Rollout {rollout}", self.get(rollout).revision, seen)
        return self._ask(rollout, "pause", "paused", reason, {"running"}, by)

    def resume(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: AsSeen = None) -> RolloutView:
        check_seen(f"Rollout {rollout}", self.get(rollout).revision, seen)
        return self._ask(rollout, "resume", "running", reason, {"paused", "stopped"}, by)

    def abort(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: AsSeen = None) -> RolloutView:
        check_seen(f"Rollout {rollout}", self.get(rollout).revision, seen)
        return self._ask(rollout, "abort", "reverting", reason, {"running", "paused", "stopped"}, by)

    def ran(self, device: str, at: datetime | None = None) -> list[RanView]:
        since = self.now() - timedelta(hours=3)
        if at is not None and at < since:
            return []
        return [
            RanView(
                model="digits", slot="default", version=1, digest="sha256:" + "a" * 64, since=since, until=None,
                rollout="digits-1-x2ma", asked_by="maria", wave=0, decision=self.decided["digits-1-x2ma"][0],
            )
        ] if device and self.decided.get("digits-1-x2ma") else []  # fmt: skip

    def retry(self, device: str, model: str, slot: str = "default") -> RetryView:
        self.asked.append((device, f"retry {model}", slot))
        return RetryView(device=device, model=model, slot=slot, version=1, generation=2)

    def _ask(self, rollout: str, verb: str, state: str, reason: str, allowed: set[str], by: str) -> RolloutView:
        one = self.get(rollout)
        if one.state not in allowed:
            raise Conflict(f"Rollout {rollout} is {one.state}, so it cannot {verb}.", "", code="rollout-state")
        self.asked.append((rollout, verb, reason))
        self.by.append(by)
        why = because(f"{verb}d-by-person", f"{by} asked to {verb} it{': ' + reason if reason else ''}.")
        return self.decide(rollout, why, state=state)

    def decide(self, rollout: str, why: BecauseView, **fields: Any) -> RolloutView:
        changed = self.get(rollout).model_copy(update={"because": why, "updated_at": self.now(), **fields})
        self.rollouts[rollout] = changed
        self.decided.setdefault(rollout, []).append(decision(changed, len(self.decided.get(rollout, [])) + 1))
        self.changes.bump("rollouts", f"rollout:{rollout}")
        return changed


def decision(rollout: RolloutView, number: int, at: datetime | None = None) -> DecisionView:
    return DecisionView(
        number=number,
        at=at or rollout.updated_at,
        state=rollout.state,
        wave=rollout.wave,
        because=rollout.because,
        counts=rollout.counts,
        evidence=rollout.evidence,
        gates=rollout.gates,
    )
