"""A fleet that exists only on paper, behind the services that the console asks: for its tests and its dev server."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud_hub.access.actor import OPERATOR
from cloud_hub.access.once import RequestKey
from cloud_hub.access.views import AuditView
from cloud_hub.because import BecauseView
from cloud_hub.changes import Changes
from cloud_hub.console.parts import Parts
from cloud_hub.devices.selector_text import parse
from cloud_hub.devices.selectors import cohorts_of, matches, written_out
from cloud_hub.devices.store import DeviceFilter
from cloud_hub.devices.views import (
    PRESENCES,
    CohortIn,
    CohortView,
    DeviceEventView,
    DeviceView,
    FleetSummary,
    RunningView,
)
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.lake.views import ColumnView, QueryRequest, QueryView, TableView
from cloud_hub.manifests.service import ManifestService
from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.monitoring.views import SeriesView, VersionSeries
from cloud_hub.page import Page, PageRequest
from cloud_hub.releases.views import ModelView, VersionView
from cloud_hub.revisions import check_seen
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
    FreezeIn,
    FreezeView,
    GateReadingsView,
    HoldView,
    LatestDecisionView,
    ManifestVersionView,
    PinIn,
    PinView,
    PreviewView,
    RanView,
    RetryView,
    RolloutIn,
    RolloutView,
)
from cloud_hub.rollouts.wanted import Candidate
from cloud_hub.rollouts.waves import Stander, added, draw
from fleet_contract.because import Because
from fleet_contract.histogram import latency_bucket
from fleet_contract.topics import check_id
from tests.fakes.selecting import PaperDevice

LABELS = [str(digit) for digit in range(10)]
EDGES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
KEY = "5f0c" * 16
FIRST = PageRequest()


def digest(model: str, version: int) -> str:
    return f"sha256:{random.Random(f'{model}{version}').randbytes(32).hex()}"


def page_of(items: Sequence[Any], request: PageRequest) -> Page[Any]:
    """Cursors that are simply where to go on."""
    at = int(request.cursor or 0)
    end = at + request.limit
    return Page(items=list(items[at:end]), total=len(items), next=str(end) if end < len(items) else None)


def because(code: str, sentence: str) -> BecauseView:
    return BecauseView(code=code, sentence=sentence)


@dataclass
class FakeDevices:
    now: Callable[[], datetime]
    devices: dict[str, DeviceView] = field(default_factory=dict)

    def page(self, wanted: DeviceFilter, request: PageRequest) -> Page[DeviceView]:
        name = (request.sort or "id").removeprefix("-")
        if name not in ("id", "target", "presence", "last_heard_at"):
            raise Invalid(f"This list cannot be sorted by {name!r}.", "Sort by id.", code="sort-unknown")
        found = [one for one in self.devices.values() if _fits(one, wanted)]
        found.sort(key=lambda one: (str(getattr(one, name)), one.id), reverse=(request.sort or "").startswith("-"))
        return page_of(found, request)

    def get(self, device: str) -> DeviceView:
        if device not in self.devices:
            raise NotFound(
                f"There is no device {device!r}.", "`vedette devices list` shows all.", code="device-unknown"
            )
        return self.devices[device]

    def events(self, device: str, request: PageRequest) -> Page[DeviceEventView]:
        one, now = self.get(device), self.now()
        events = [
            DeviceEventView(
                number=1,
                at=one.joined_at,
                kind="joined",
                model=None,
                phase=None,
                version=None,
                because=because("joined", "Joined with a token that was made for it."),
            )
        ]
        for number, model in enumerate(one.models, 2):
            events.insert(
                0,
                DeviceEventView(
                    number=number,
                    at=min(model.since, now),
                    kind="phase",
                    model=model.model,
                    phase=model.phase,
                    version=model.running.version if model.running else None,
                    because=model.because,
                ),
            )
        return page_of(events, request)

    def summary(self) -> FleetSummary:
        all_of = list(self.devices.values())
        running: dict[tuple[str, int], int] = {}
        for one in all_of:
            for model in one.models:
                if model.running:
                    key = (model.model, model.running.version)
                    running[key] = running.get(key, 0) + 1
        targets: dict[str, int] = {}
        for one in all_of:
            targets[one.target] = targets.get(one.target, 0) + 1
        return FleetSummary(
            total=len(all_of),
            presence={name: sum(one.presence == name for one in all_of) for name in PRESENCES},
            targets=targets,
            running=[RunningView(model=m, version=v, devices=n) for (m, v), n in sorted(running.items())],
            troubled=sum(_troubled(one) for one in all_of),
        )

    def change(self, device: str, **fields: Any) -> None:
        self.devices[device] = self.devices[device].model_copy(update=fields)


def _troubled(one: DeviceView) -> bool:
    return bool(one.troubles or one.refused or any(model.phase == "rejected" for model in one.models))


def _described(one: DeviceView) -> PaperDevice:
    running = {model.model: model.running.version for model in one.models if model.running}
    return PaperDevice(one.id, one.target, one.labels, one.agent_version, running)


def _fits(one: DeviceView, wanted: DeviceFilter) -> bool:
    text = f"{one.id} {one.hostname} {' '.join(one.labels.values())}"
    models = [
        model
        for model in one.models
        if (not wanted.model or model.model == wanted.model)
        and (wanted.version is None or (model.running is not None and model.running.version == wanted.version))
        and (not wanted.phase or model.phase == wanted.phase)
        and (not wanted.rollout or model.rollout == wanted.rollout)
    ]
    by_model = wanted.model or wanted.version is not None or wanted.phase or wanted.rollout
    return (
        (not wanted.q or wanted.q in text)
        and wanted.labels.items() <= one.labels.items()
        and matches(wanted.selector, _described(one))
        and (not wanted.target or one.target == wanted.target)
        and (not wanted.presence or one.presence == wanted.presence)
        and (not wanted.troubled or _troubled(one))
        and (not by_model or bool(models))
    )


@dataclass
class FakeReleases:
    versions_of: dict[str, list[VersionView]] = field(default_factory=dict)

    def models(self, request: PageRequest) -> Page[ModelView]:
        return page_of([self.model(name) for name in sorted(self.versions_of)], request)

    def model(self, name: str) -> ModelView:
        if name not in self.versions_of:
            raise NotFound(f"There is no model {name!r}.", "`vedette models list` shows all.", code="model-unknown")
        versions = self.versions_of[name]
        return ModelView(
            name=name,
            created_at=versions[0].created_at,
            newest_version=versions[-1].version,
            versions=len(versions),
            task=versions[-1].task,
            targets=[artifact.target for artifact in versions[-1].artifacts],
        )

    def versions(self, model: str, request: PageRequest) -> Page[VersionView]:
        self.model(model)
        return page_of(self.versions_of[model][::-1], request)

    def version(self, model: str, version: int) -> VersionView:
        return next(one for one in self.versions_of[model] if one.version == version)


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

    def approve(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: int | None = None) -> RolloutView:
        check_seen(f"Rollout {rollout}", self.get(rollout).revision, seen)
        return self._ask(rollout, "approve", "running", reason, {"running"}, by)

    def pause(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: int | None = None) -> RolloutView:
        check_seen(f"Rollout {rollout}", self.get(rollout).revision, seen)
        return self._ask(rollout, "pause", "paused", reason, {"running"}, by)

    def resume(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: int | None = None) -> RolloutView:
        check_seen(f"Rollout {rollout}", self.get(rollout).revision, seen)
        return self._ask(rollout, "resume", "running", reason, {"paused", "stopped"}, by)

    def abort(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: int | None = None) -> RolloutView:
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


def tally(seed: str, records: int, *, worse: bool = False) -> Tally:
    """What a cohort might have shown: digits spread evenly, or piled up on a few."""
    chance = random.Random(seed)
    weights = [chance.uniform(0.8, 1.2) * ((3.2 if label in "18" else 0.6) if worse else 1) for label in LABELS]
    total = sum(weights)
    sure = [1, 2, 3, 5, 8, 14, 22, 60, 190]
    if worse:
        sure = [22, 30, 34, 30, 28, 24, 20, 16, 10]
    latency: dict[int, int] = {}
    for _ in range(300):
        bucket = latency_bucket(chance.lognormvariate(math.log(620 if not worse else 540), 0.35))
        latency[bucket] = latency.get(bucket, 0) + max(1, records // 300)
    return Tally(
        windows=max(1, records // 50),
        records=records,
        errors=records // 400,
        latency=latency,
        predictions={label: int(records * weight / total) for label, weight in zip(LABELS, weights, strict=True)},
        confidence={digest("digits", 2 if worse else 1): tuple(records * part // sum(sure) for part in sure)},
    )


@dataclass
class FakeMonitoring:
    now: Callable[[], datetime]
    running: dict[str, tuple[int, ...]] = field(default_factory=dict)
    devices: int = 42

    def evidence(
        self,
        model: str,
        since: datetime,
        *,
        version: int | None = None,
        not_version: int | None = None,
        slot: str = "default",
    ) -> Evidence:
        if version is None:
            return Evidence({f"device-{i}": tally(f"{model}{i}", 2200) for i in range(20)})
        if version not in self.running.get(model, ()) and version != 2:
            return Evidence()
        return Evidence({f"canary-{i}": tally(f"{model}c{i}", 900, worse=version == 2) for i in range(2)})

    def series(self, model: str, *, device: str | None = None, minutes: int = 15) -> SeriesView:
        now, step = self.now(), 10
        first = int((now - timedelta(minutes=minutes)).timestamp()) // step * step
        times = list(range(first, int(now.timestamp()) + 1, step))
        versions = []
        for place, version in enumerate(self.running.get(model, ())):
            share = 0.8 if place == 0 else 0.2
            full = (1 if device else self.devices) * 4.0 * share
            start = 0 if place == 0 else len(times) * 2 // 3
            rates = [
                round(full * (1 + 0.1 * math.sin(at / 40) + 0.05 * random.Random(f"{model}{version}{at}").random()), 3)
                if index >= start and index < len(times) - 1
                else 0.0
                for index, at in enumerate(times)
            ]
            p50 = [
                580 + 30 * math.sin(at / 90) + 60 * place if rate else None
                for at, rate in zip(times, rates, strict=True)
            ]
            versions.append(
                VersionSeries(
                    version=version,
                    records=[int(rate * step) for rate in rates],
                    errors=[int(rate > 0 and at % 170 == 0) for at, rate in zip(times, rates, strict=True)],
                    records_per_second=rates,
                    error_share=[0.0 if rate else None for rate in rates],
                    latency_p50_us=p50,
                    latency_p95_us=[None if value is None else value * 1.7 for value in p50],
                    predictions={},
                )
            )
        return SeriesView(
            model=model,
            device=device,
            since=datetime.fromtimestamp(first, UTC),
            until=now,
            bucket_seconds=step,
            times=times,
            versions=versions,
        )


@dataclass
class FakeLake:
    asked: list[str] = field(default_factory=list)

    def query(self, request: QueryRequest) -> QueryView:
        self.asked.append(request.sql)
        if "SELECT" not in request.sql.upper():
            raise Invalid("The lake could not answer: syntax error at or near 'SELEC'.", "Ask with one SELECT.")
        columns = [
            ColumnView(name=name, type=kind)
            for name, kind in (("model", "VARCHAR"), ("version", "INTEGER"), ("records", "BIGINT"))
        ]
        return QueryView(columns=columns, rows=[["digits", 1, 184220], ["digits", 3, 9120]], truncated=False)

    def tables(self) -> list[TableView]:
        columns = [
            ColumnView(name=name, type=kind)
            for name, kind in (("device", "VARCHAR"), ("model", "VARCHAR"), ("version", "INTEGER"), ("count", "BIGINT"))
        ]
        return [
            TableView(
                name="windows",
                location="file:lake/windows",
                version=214,
                rows=193340,
                files=6,
                size_bytes=2_400_000,
                partitioned_by=["day"],
                columns=columns,
            )
        ]


@dataclass
class FakeFreeze:
    lasts: FreezeView = field(default_factory=lambda: FreezeView(frozen=False, revision=0))

    def show(self) -> FreezeView:
        return self.lasts

    def begin(self, asked: FreezeIn, by: str = "operator") -> FreezeView:
        self.lasts = FreezeView(
            frozen=True,
            revision=self.lasts.revision + 1,
            reason=asked.reason,
            by=by,
            since=datetime(2026, 11, 2, 12, tzinfo=UTC),
            until=asked.until,
        )
        return self.lasts

    def end(self, by: str = "operator", seen: int | None = None) -> FreezeView:
        check_seen("The freeze", self.lasts.revision, seen)
        self.lasts = FreezeView(frozen=False, revision=self.lasts.revision + 1)
        return self.lasts


@dataclass
class FakeCohorts:
    """`count` says how many devices a selector means."""

    count: Callable[[str], int]
    now: Callable[[], datetime]
    saved: dict[str, CohortView] = field(default_factory=dict)

    def all(self, *, counted: bool = False) -> list[CohortView]:
        return [self.get(name) for name in sorted(self.saved)]

    def get(self, name: str) -> CohortView:
        if name not in self.saved:
            raise NotFound(f"There is no cohort {name!r}.", "`vedette cohorts list` shows all.", code="cohort-unknown")
        return self.saved[name].model_copy(update={"devices": self.count(self.saved[name].selector)})

    def create(self, asked: CohortIn, by: str, request: RequestKey | None = None) -> CohortView:
        check_id(asked.name, "cohort")
        if asked.name in self.saved:
            raise Conflict(f"There is a cohort {asked.name!r} already.", "Replace it.", code="cohort-exists")
        return self._save(asked.name, asked.selector, by, 1)

    def replace(self, name: str, selector: str, by: str, seen: int | None = None) -> CohortView:
        known = self.get(name)
        check_seen(f"Cohort {name}", known.revision, seen)
        parse(selector)
        return self._save(name, selector, by, known.revision + 1)

    def delete(self, name: str, by: str) -> CohortView:
        gone = self.get(name)
        if any(name in cohorts_of(parse(one.selector)) for one in self.saved.values()):
            raise Conflict(f"Cohort {name} is referred to.", "Change these first.", code="cohort-needed")
        del self.saved[name]
        return gone

    def _save(self, name: str, selector: str, by: str, revision: int) -> CohortView:
        self.saved[name] = CohortView(
            name=name, selector=selector, revision=revision, changed_by=by, changed_at=self.now()
        )
        return self.get(name)


@dataclass
class FakeRequests:
    begun: dict[str, str] = field(default_factory=dict)

    def begin(self, request: RequestKey | None) -> bool:
        return request is None or self.begun.setdefault(request.key, request.digest) is request.digest

    def forget(self, request: RequestKey | None) -> None:
        if request is not None:
            del self.begun[request.key]


@dataclass
class FakePins:
    pinned: list[PinView] = field(default_factory=list)

    def list(self, device: str | None = None) -> list[PinView]:
        return [one for one in self.pinned if device in (None, one.device)]

    def pin(self, asked: PinIn, by: str = "operator") -> PinView:
        made = PinView(
            **asked.model_dump(), id="pin-1", by=by, since=datetime(2026, 11, 2, tzinfo=UTC), ended_at=None, revision=1
        )
        self.pinned.append(made)
        return made

    def unpin(self, pin: str, by: str = "operator") -> PinView:
        found = next(one for one in self.pinned if one.id == pin)
        self.pinned.remove(found)
        return found


@dataclass
class FakeAudit:
    writes: list[AuditView] = field(default_factory=list)

    def page(self, request: PageRequest, by: str | None = None, q: str | None = None) -> Page[AuditView]:
        found = [one for one in self.writes if by in (None, one.by) and (q or "") in one.path]
        return page_of(sorted(found, key=lambda one: -one.number), request)


@dataclass
class FakeHub:
    """All of it; `parts` is what the console is made of."""

    now: Callable[[], datetime]
    changes: Changes
    devices: FakeDevices
    releases: FakeReleases
    rollouts: FakeRollouts
    monitoring: FakeMonitoring
    lake: FakeLake
    cohorts: FakeCohorts = field(init=False)
    freeze: FakeFreeze = field(default_factory=FakeFreeze)
    pins: FakePins = field(default_factory=FakePins)
    audit: FakeAudit = field(default_factory=FakeAudit)
    troubles: list[BecauseView] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cohorts = FakeCohorts(lambda selector: sum(self.rollouts.matching(selector).values()), self.now)
        self.rollouts.cohorts = self.cohorts.saved

    @property
    def parts(self) -> Parts:
        return Parts(
            devices=self.devices,
            cohorts=self.cohorts,
            releases=self.releases,
            rollouts=self.rollouts,
            freeze=self.freeze,
            pins=self.pins,
            manifests=ManifestService(self.rollouts, self.cohorts, FakeRequests()),
            monitoring=self.monitoring,
            lake=self.lake,
            audit=self.audit,
            changes=self.changes,
            troubles=lambda: self.troubles,
            now=self.now,
            fleet="default",
            version="0.1.0",
        )
