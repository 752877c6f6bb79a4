"""A fleet that exists only on paper, behind the services that the console asks: for its tests and its dev server."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud_hub.because import BecauseView
from cloud_hub.changes import Changes
from cloud_hub.console.parts import Parts
from cloud_hub.devices.store import DeviceFilter
from cloud_hub.devices.views import (
    PRESENCES,
    DeviceEventView,
    DeviceModelView,
    DeviceView,
    FleetSummary,
    ReleaseView,
    RunningView,
    SpoolView,
)
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.lake.views import ColumnView, QueryRequest, QueryView, TableView
from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.views import EvidenceView, SeriesView, VersionSeries
from cloud_hub.page import Page, PageRequest
from cloud_hub.releases.views import ArtifactView, ModelView, VersionView
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import (
    CohortsView,
    CountsView,
    DecisionView,
    GateView,
    LatestDecisionView,
    RolloutView,
    WaveView,
)
from fleet_contract.histogram import latency_bucket

LABELS = [str(digit) for digit in range(10)]
EDGES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
KEY = "5f0c" * 16


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
                number=1, at=one.joined_at, kind="joined", model=None, phase=None, version=None,
                because=because("joined", "Joined with a token that was made for it."),
            )
        ]  # fmt: skip
        for number, model in enumerate(one.models, 2):
            events.insert(
                0,
                DeviceEventView(
                    number=number, at=min(model.since, now), kind="phase", model=model.model, phase=model.phase,
                    version=model.running.version if model.running else None, because=model.because,
                ),
            )  # fmt: skip
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
            name=name, created_at=versions[0].created_at, newest_version=versions[-1].version, versions=len(versions),
            task=versions[-1].task, targets=[artifact.target for artifact in versions[-1].artifacts],
        )  # fmt: skip

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

    def page(
        self, request: PageRequest = PageRequest(), *, model: str | None = None, state: str | None = None
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

    def latest_decisions(self, limit: int) -> list[LatestDecisionView]:
        found = [
            LatestDecisionView(
                rollout=one.id, model=one.model, version=one.version, number=decision.number, at=decision.at,
                state=decision.state, wave=decision.wave, because=decision.because,
            )
            for one in self.rollouts.values()
            for decision in self.decided[one.id]
        ]  # fmt: skip
        return sorted(found, key=lambda one: one.at, reverse=True)[:limit]

    def pause(self, rollout: str, reason: str = "") -> RolloutView:
        return self._ask(rollout, "pause", "paused", reason, {"running"})

    def resume(self, rollout: str, reason: str = "") -> RolloutView:
        return self._ask(rollout, "resume", "running", reason, {"paused", "stopped"})

    def abort(self, rollout: str, reason: str = "") -> RolloutView:
        return self._ask(rollout, "abort", "reverting", reason, {"running", "paused", "stopped"})

    def _ask(self, rollout: str, verb: str, state: str, reason: str, allowed: set[str]) -> RolloutView:
        one = self.get(rollout)
        if one.state not in allowed:
            raise Conflict(f"Rollout {rollout} is {one.state}, so it cannot {verb}.", "", code="rollout-state")
        self.asked.append((rollout, verb, reason))
        why = because(f"{verb}d-by-person", f"A person asked to {verb} it{': ' + reason if reason else ''}.")
        return self.decide(rollout, why, state=state)

    def decide(self, rollout: str, why: BecauseView, **fields: Any) -> RolloutView:
        changed = self.get(rollout).model_copy(update={"because": why, "updated_at": self.now(), **fields})
        self.rollouts[rollout] = changed
        self.decided.setdefault(rollout, []).append(decision(changed, len(self.decided.get(rollout, [])) + 1))
        self.changes.bump("rollouts", f"rollout:{rollout}")
        return changed


def decision(rollout: RolloutView, number: int, at: datetime | None = None) -> DecisionView:
    return DecisionView(
        number=number, at=at or rollout.updated_at, state=rollout.state, wave=rollout.wave, because=rollout.because,
        counts=rollout.counts, evidence=rollout.evidence, gates=rollout.gates,
    )  # fmt: skip


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
        self, model: str, since: datetime, *, version: int | None = None, not_version: int | None = None
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
            model=model, device=device, since=datetime.fromtimestamp(first, UTC), until=now,
            bucket_seconds=step, times=times, versions=versions,
        )  # fmt: skip


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
class FakeHub:
    """All of it; `parts` is what the console is made of."""

    now: Callable[[], datetime]
    changes: Changes
    devices: FakeDevices
    releases: FakeReleases
    rollouts: FakeRollouts
    monitoring: FakeMonitoring
    lake: FakeLake
    troubles: list[BecauseView] = field(default_factory=list)

    @property
    def parts(self) -> Parts:
        return Parts(
            devices=self.devices, releases=self.releases, rollouts=self.rollouts, monitoring=self.monitoring,
            lake=self.lake, changes=self.changes, troubles=lambda: self.troubles, now=self.now,
            fleet="default", version="0.1.0",
        )  # type: ignore[arg-type]  # fmt: skip


def empty_hub(now: Callable[[], datetime]) -> FakeHub:
    """A hub on its first day."""
    changes = Changes()
    lake = FakeLake()
    lake.tables = lambda: []  # type: ignore[method-assign]
    return FakeHub(
        now, changes, FakeDevices(now), FakeReleases(), FakeRollouts(changes, now), FakeMonitoring(now), lake
    )


def busy_hub(now: Callable[[], datetime], devices: int = 42) -> FakeHub:
    """Two models, 42 devices, a rollout under way, one that was stopped and reverted, one that is complete."""
    hub = empty_hub(now)
    hub.lake = FakeLake()
    hub.monitoring = FakeMonitoring(now, {"digits": (1, 3), "vibration": (1,)}, devices)
    start = now() - timedelta(hours=3)
    hub.releases.versions_of = {
        "digits": [
            version("digits", v, start + timedelta(minutes=40 * v), note)
            for v, note in ((1, "baseline"), (2, "trained on too little"), (3, "more data"))
        ],
        "vibration": [version("vibration", 1, start, "")],
    }
    for index in range(devices):
        one = device(index, now())
        hub.devices.devices[one.id] = one
    _rollouts(hub, start)
    return hub


def device(index: int, now: datetime) -> DeviceView:
    site = ("lyon", "turin", "gdansk")[index % 3]
    presence = "online" if index % 11 else "silent"
    if index == 23:
        presence = "lost"
    heard = now - timedelta(seconds=3 + index % 20 if presence == "online" else 400 + index)
    on_trial = index % 7 == 3
    models = [
        DeviceModelView(
            model="digits",
            phase="trial" if on_trial and index % 2 else "settled",
            because=because(
                "trial-passed",
                f"Version {3 if on_trial else 1} answered {240 + index} records with 0 errors, as many as the trial asks for.",
            ),
            since=now - timedelta(minutes=4 if on_trial else 130),
            wanted=ReleaseView(version=3 if on_trial else 1, digest=digest("digits", 3 if on_trial else 1)),
            running=ReleaseView(version=3 if on_trial else 1, digest=digest("digits", 3 if on_trial else 1)),
            previous=ReleaseView(version=1, digest=digest("digits", 1)) if on_trial else None,
            rollout="digits-3-q7f2" if on_trial else "digits-1-x2ma",
        )
    ]
    if index % 4 == 0:
        models.append(
            DeviceModelView(
                model="vibration", phase="rejected" if index == 8 else "settled",
                because=because("golden-set-failed", "3 of 64 golden samples agree, and 62 must.") if index == 8 else because("settled", "Version 1 runs, and nothing else is wanted."),
                since=now - timedelta(minutes=61),
                wanted=ReleaseView(version=1, digest=digest("vibration", 1)),
                running=None if index == 8 else ReleaseView(version=1, digest=digest("vibration", 1)),
                previous=None, rollout="vibration-1-h8tt",
            )
        )  # fmt: skip
    troubles = (
        [because("disk-full", "The spool's disk has 12 MB left; windows are dropped, oldest first.")]
        if index == 17
        else []
    )
    return DeviceView(
        id=f"{site}-line{index % 4 + 1}-{index:02d}", fleet="default",
        labels={"site": site, "line": f"line{index % 4 + 1}"}, target="cpu-vnni" if index % 2 else "cpu-avx2",
        presence=presence, presence_because=because("heard", f"{'It reports in time' if presence == 'online' else 'Not a word for more than 90 s'}; last proven to live at {heard:%H:%M:%S} UTC."),
        last_heard_at=heard, joined_at=now - timedelta(days=3, minutes=index), agent_version="0.1.0", hostname=f"gw-{index:03d}",
        generation_wanted=3, generation_reported=3 - (index == 23), models=models, refused=None,
        spool=SpoolView(records=index % 3 if presence == "online" else 214, size_bytes=5210 * (index % 3), dropped=120 if index == 17 else 0),
        troubles=troubles,
        inventory={"hostname": f"gw-{index:03d}", "arch": "x86_64", "cores": 4, "memory_bytes": 8_200_000_000, "runtimes": {"onnx": "1.23.2"}, "providers": ["CPUExecutionProvider"]},
    )  # fmt: skip


def version(model: str, number: int, at: datetime, notes: str) -> VersionView:
    artifacts = [
        ArtifactView(
            target=target, runtime="onnx", digest=digest(model, number) if target == "cpu-vnni" else digest(model + target, number),
            size_bytes=58_400 + 1200 * number, accuracy=accuracy, source_accuracy=accuracy + 0.004, golden_agreement=0.984,
            signed_by=[KEY],
            manifest={
                "task": "classification", "labels": LABELS,
                "inputs": [{"name": "image", "dtype": "FP32", "shape": [-1, 64]}], "outputs": [{"name": "logits", "dtype": "FP32", "shape": [-1, 10]}],
                "reference": {"records": 450, "predictions": {label: 40 + int(label) for label in LABELS}, "confidence": {"edges": list(EDGES), "counts": [2, 3, 4, 5, 7, 14, 25, 90, 300]}, "features": {}},
                "provenance": {"recipe": f"models/catalog/{model}", "source_digest": KEY, "built_at": at.isoformat(), "tools": {"onnxruntime": "1.23.2", "scikit-learn": "1.7.2"}, "training_records": 1347},
            },
        )
        for target, accuracy in (("cpu-avx2", 0.967 if number != 2 else 0.713), ("cpu-vnni", 0.969 if number != 2 else 0.718))
    ]  # fmt: skip
    return VersionView(
        model=model,
        version=number,
        created_at=at,
        notes=notes,
        task="classification",
        labels=LABELS,
        artifacts=artifacts,
    )


def _waves(wave: int, states: Sequence[str]) -> list[WaveView]:
    names = (("1 device", 2.4, 1), ("50 %", 50.0, 21), ("100 %", 100.0, 42))
    return [WaveView(name=n, exposed_percent=p, covers=c, state=s) for (n, p, c), s in zip(names, states, strict=True)]


def gates(shift: float, verdict: str) -> list[GateView]:
    return [
        GateView(name="errors", verdict="pass", sentence="2 of 1,800 inferences failed (0.1 %), 0.2 % elsewhere.", value=-0.001, lower=-0.004, upper=0.003, threshold=0.02),
        GateView(name="predictions", verdict=verdict, sentence=f"The share of label 1 moved by {shift * 100:.1f} points against the control.", value=shift, lower=shift - 0.04, upper=shift + 0.05, threshold=0.1),
    ]  # fmt: skip


def _rollouts(hub: FakeHub, start: datetime) -> None:

    def evidence(version: int) -> CohortsView:
        return CohortsView(
            treated=EvidenceView.of(hub.monitoring.evidence("digits", start, version=version)),
            control=EvidenceView.of(hub.monitoring.evidence("digits", start, not_version=version)),
            wave_records=1800,
        )

    told: list[tuple[str, str, int, str, int, list[str], CountsView, list[GateView], float, list[tuple[str, str, str]]]] = [
        (
            "digits-1-x2ma", "digits", 1, "completed", 2, ["done", "done", "done"],
            CountsView(eligible=42, offered=42, heard=42, succeeded=42), gates(0.01, "pass"), 130,
            [("running", "started", "Wave 1 of 3 is open: 1 of 42 devices is offered version 1."), ("completed", "all-succeeded", "42 of 42 devices run version 1, and every gate is passed.")],
        ),
        (
            "digits-2-k9zr", "digits", 2, "reverted", 0, ["reverted", "waiting", "waiting"],
            CountsView(eligible=42, offered=0, heard=0, succeeded=0, failed=0), gates(0.243, "fail"), 50,
            [
                ("running", "started", "Wave 1 of 3 is open: 1 of 42 devices is offered version 2."),
                ("reverting", "gate-failed", "Gate predictions failed: the share of label 1 is 33.4 % with version 2 and 9.1 % elsewhere, a shift of 24.3 points of which 19.8 are certain, and 10 are allowed. 1 device goes back."),
                ("reverted", "all-back", "1 of 1 device runs the version before again."),
            ],
        ),
        (
            "vibration-1-h8tt", "vibration", 1, "paused", 1, ["done", "open", "waiting"],
            CountsView(eligible=11, offered=6, heard=6, succeeded=5, failed=1), [], 61,
            [("running", "started", "Wave 1 of 3 is open: 1 of 11 devices is offered version 1."), ("paused", "paused-by-person", "A person asked to pause it: the line is down for maintenance.")],
        ),
        (
            "digits-3-q7f2", "digits", 3, "running", 1, ["done", "open", "waiting"],
            CountsView(eligible=42, offered=21, heard=20, succeeded=6, pending=14, unheard=1), gates(0.012, "not-enough-evidence"), 6,
            [
                ("running", "started", "Wave 1 of 3 is open: 1 of 42 devices is offered version 3."),
                ("running", "wave-passed", "Wave 2 of 3 is open: the canary succeeded, soaked for 60 s, and showed 412 records with every gate passed."),
                ("running", "waiting", "Wave 2 waits: 6 of 20 devices that were heard from succeeded (30 %), and 95 % must."),
            ],
        ),
    ]  # fmt: skip
    now = hub.now()
    for id, model, number, state, wave, states, counts, judged, minutes, history in told:
        at = now - timedelta(minutes=minutes)
        one = RolloutView(
            id=id, model=model, version=number, state=state, wave=wave, waves=_waves(wave, states), counts=counts,
            evidence=evidence(number), gates=judged, because=because(history[-1][1], history[-1][2]), policy=Policy(),
            created_at=at, updated_at=at + timedelta(minutes=len(history) - 1), revision=len(history),
        )  # fmt: skip
        hub.rollouts.rollouts[id] = one
        hub.rollouts.decided[id] = [
            replace_view(decision(one, n, at + timedelta(minutes=n - 1)), state=state, because=because(code, said))
            for n, (state, code, said) in enumerate(history, 1)
        ]


def replace_view(view: Any, **fields: Any) -> Any:
    return view.model_copy(update=fields)
