"""What there is in a paper fleet: 42 devices, two models, a rollout under way, one reverted, one complete."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from cloud_hub.access.views import AuditView
from cloud_hub.changes import Changes
from cloud_hub.devices.views import CaptureView, CohortIn, DeviceModelView, DeviceView, ReleaseView, SpoolView
from cloud_hub.releases.views import ArtifactView, VersionView
from cloud_hub.rollouts.policy import Approval, Policy
from cloud_hub.rollouts.views import (
    CohortsView,
    CountsView,
    EvidenceView,
    FailureView,
    GateReadingsView,
    GateView,
    ReadingView,
    RolloutView,
    WaveView,
)
from tests.fakes.paper_hub.devices import FakeDevices
from tests.fakes.paper_hub.hub import FakeHub
from tests.fakes.paper_hub.lake import FakeLake
from tests.fakes.paper_hub.monitoring import FakeMonitoring
from tests.fakes.paper_hub.releases import EDGES, KEY, LABELS, FakeReleases, digest
from tests.fakes.paper_hub.rollouts import FakeRollouts, decision
from tests.fakes.paper_hub.views import because


def empty_hub(now: Callable[[], datetime]) -> FakeHub:
    """A hub on its first day."""
    changes = Changes()
    lake = FakeLake()
    lake.tables = list  # type: ignore[method-assign]
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
        "bearing": [
            version("bearing", v, start + timedelta(minutes=v), note) for v, note in ((1, "lab"), (2, "field"))
        ],
    }
    for index in range(devices):
        one = device(index, now())
        hub.devices.devices[one.id] = one
    hub.rollouts.devices = hub.devices.devices
    hub.rollouts.pinned = {"digits-3-q7f2": 2}
    hub.cohorts.create(CohortIn(name="lyon", selector="site = lyon"), "maria")
    hub.cohorts.create(CohortIn(name="lyon-first", selector="cohort:lyon and line = line1"), "maria")
    hub.audit.writes = [
        AuditView(number=number, at=start, by=by, method="POST", path=path, status=201, body=body)
        for number, (by, path, body) in enumerate(
            [
                ("maria", "/api/v1/rollouts", '{"model":"digits","version":3,"policy":{"selector":"site = lyon"}}'),
                ("ada", "/api/v1/pins", '{"device":"turin-line1-04","reason":"Under repair."}'),
                ("maria", "/rollouts/digits-1-x2ma/pause", "reason=the+line+is+down&by=maria"),
            ],
            1,
        )
    ]
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
                f"Version {3 if on_trial else 1} answered {240 + index} records with 0 errors.",
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
                model="vibration",
                phase="rejected" if index == 8 else "settled",
                because=because("golden-set-failed", "3 of 64 golden samples agree, and 62 must.")
                if index == 8
                else because("settled", "Version 1 runs, and nothing else is wanted."),
                since=now - timedelta(minutes=61),
                wanted=ReleaseView(version=1, digest=digest("vibration", 1)),
                running=None if index == 8 else ReleaseView(version=1, digest=digest("vibration", 1)),
                previous=None,
                rollout="vibration-1-h8tt",
            )
        )
    troubles = (
        [because("disk-full", "The spool's disk has 12 MB left; windows are dropped, oldest first.")]
        if index == 17
        else []
    )
    return DeviceView(
        id=f"{site}-line{index % 4 + 1}-{index:02d}",
        fleet="default",
        labels={"site": site, "line": f"line{index % 4 + 1}"},
        target="cpu-vnni" if index % 2 else "cpu-avx2",
        presence=presence,
        presence_because=because(
            "heard",
            f"{'It reports in time' if presence == 'online' else 'Not a word'}; last proven at {heard:%H:%M} UTC.",
        ),
        last_heard_at=heard,
        joined_at=now - timedelta(days=3, minutes=index),
        agent_version="0.1.0",
        hostname=f"gw-{index:03d}",
        generation_wanted=3,
        generation_reported=3 - (index == 23),
        models=models,
        refused=None,
        spool=SpoolView(
            records=index % 3 if presence == "online" else 214,
            size_bytes=5210 * (index % 3),
            dropped=120 if index == 17 else 0,
        ),
        captures=CaptureView(files=12, size_bytes=49_152, dropped={"quota": 3}) if index == 0 else None,
        troubles=troubles,
        inventory={
            "hostname": f"gw-{index:03d}",
            "arch": "x86_64",
            "cores": 4,
            "memory_bytes": 8_200_000_000,
            "runtimes": {"onnx": "1.23.2"},
            "providers": ["CPUExecutionProvider"],
        },
    )


def version(model: str, number: int, at: datetime, notes: str) -> VersionView:
    artifacts = [
        ArtifactView(
            target=target,
            runtime="onnx",
            digest=digest(model, number) if target == "cpu-vnni" else digest(model + target, number),
            size_bytes=58_400 + 1200 * number,
            accuracy=accuracy,
            source_accuracy=accuracy + 0.004,
            golden_agreement=0.984,
            signed_by=[KEY],
            manifest={
                "task": "classification",
                "labels": LABELS,
                "inputs": [{"name": "image", "dtype": "FP32", "shape": [-1, 64]}],
                "outputs": [{"name": "logits", "dtype": "FP32", "shape": [-1, 10]}],
                "reference": {
                    "records": 450,
                    "predictions": {label: 40 + int(label) for label in LABELS},
                    "confidence": {"edges": list(EDGES), "counts": [2, 3, 4, 5, 7, 14, 25, 90, 300]},
                    "features": {},
                },
                "provenance": {
                    "recipe": f"models/catalog/{model}",
                    "source_digest": KEY,
                    "built_at": at.isoformat(),
                    "tools": {"onnxruntime": "1.23.2", "scikit-learn": "1.7.2"},
                    "training_records": 1347,
                },
            },
        )
        for target, accuracy in (
            ("cpu-avx2", 0.967 if number != 2 else 0.713),
            ("cpu-vnni", 0.969 if number != 2 else 0.718),
        )
    ]
    return VersionView(
        model=model,
        version=number,
        created_at=at,
        notes=notes,
        task="classification",
        labels=LABELS,
        artifacts=artifacts,
    )


FAILURES = [
    FailureView(
        code="golden-set-failed",
        sentence="3 of 64 golden samples agree, and 62 must.",
        devices=1,
        examples=["gdansk-line1-08"],
    ),
    FailureView(
        code="no-room",
        sentence="The artifact takes 58 kB, and 12 kB are left for models.",
        devices=2,
        examples=["lyon-line2-09", "turin-line2-01"],
    ),
]


def _waves(wave: int, states: Sequence[str]) -> list[WaveView]:
    names = (("1 device", 2.4, 1), ("50 %", 50.0, 21), ("100 %", 100.0, 42))
    return [WaveView(name=n, exposed_percent=p, covers=c, state=s) for (n, p, c), s in zip(names, states, strict=True)]


def gates(shift: float, verdict: str) -> list[GateView]:
    return [
        GateView(
            name="errors",
            verdict="pass",
            sentence="2 of 1,800 inferences failed (0.1 %), 0.2 % elsewhere.",
            value=-0.001,
            lower=-0.004,
            upper=0.003,
            threshold=0.02,
        ),
        GateView(
            name="predictions",
            verdict=verdict,
            sentence=f"The share of label 1 moved by {shift * 100:.1f} points against the control.",
            value=shift,
            lower=shift - 0.04,
            upper=shift + 0.05,
            threshold=0.1,
        ),
    ]


def readings(gate: GateView, minutes: float, until: datetime) -> GateReadingsView:
    """How a gate may have come to what it says: from little evidence with wide bounds to what is known in the end."""
    chance, looks = random.Random(gate.name + gate.verdict), 80
    told = []
    for look in range(looks):
        little = ((looks - 1 - look) / looks) ** 2
        width = 1 + 7 * little
        noise = chance.gauss(0, 0.15) * (gate.upper - gate.lower) * (little + 0.1) * (look < looks - 1)
        value = gate.value * (1 - little) + noise
        lower, upper = value - (gate.value - gate.lower) * width, value + (gate.upper - gate.value) * width
        verdict = "fail" if lower > gate.threshold else "pass" if upper <= gate.threshold else "not-enough-evidence"
        told.append(
            ReadingView(
                at=until - timedelta(minutes=minutes * (looks - 1 - look) / looks),
                verdict=verdict,
                value=value,
                lower=lower,
                upper=upper,
                threshold=gate.threshold,
            )
        )
    return GateReadingsView(name=gate.name, readings=told)


def _rollouts(hub: FakeHub, start: datetime) -> None:

    def evidence(version: int) -> CohortsView:
        return CohortsView(
            treated=EvidenceView.of(hub.monitoring.evidence("digits", start, version=version)),
            control=EvidenceView.of(hub.monitoring.evidence("digits", start, not_version=version)),
            wave_records=1800,
        )

    told: list[
        tuple[str, str, int, str, int, list[str], CountsView, list[GateView], float, list[tuple[str, str, str]]]
    ] = [
        (
            "digits-1-x2ma",
            "digits",
            1,
            "completed",
            2,
            ["done", "done", "done"],
            CountsView(eligible=42, offered=42, heard=42, succeeded=42),
            gates(0.01, "pass"),
            130,
            [
                ("running", "started", "Wave 1 of 3 is open: 1 of 42 devices is offered version 1."),
                ("completed", "all-succeeded", "42 of 42 devices run version 1, and every gate is passed."),
            ],
        ),
        (
            "digits-2-k9zr",
            "digits",
            2,
            "reverted",
            0,
            ["reverted", "waiting", "waiting"],
            CountsView(eligible=42, offered=1, heard=1, succeeded=1),
            gates(0.243, "fail"),
            50,
            [
                ("running", "started", "Wave 1 of 3 is open: 1 of 42 devices is offered version 2."),
                (
                    "reverting",
                    "gate-failed",
                    "Gate predictions failed: the share of label 1 is 33.4 % with version 2 and 9.1 % elsewhere, "
                    "a shift of 24.3 points of which 19.8 are certain, and 10 are allowed. 1 device goes back.",
                ),
                (
                    "reverted",
                    "all-back",
                    "Gate predictions failed: the share of label 1 is 33.4 % with version 2 and 9.1 % elsewhere. "
                    "Reverted: no device heard from has version 2 any more.",
                ),
            ],
        ),
        (
            "vibration-1-h8tt",
            "vibration",
            1,
            "paused",
            1,
            ["done", "open", "waiting"],
            CountsView(eligible=11, offered=6, heard=6, succeeded=5, failed=1),
            [],
            61,
            [
                ("running", "started", "Wave 1 of 3 is open: 1 of 11 devices is offered version 1."),
                ("paused", "paused-by-person", "A person asked to pause it: the line is down for maintenance."),
            ],
        ),
        (
            "digits-3-q7f2",
            "digits",
            3,
            "running",
            1,
            ["done", "open", "waiting"],
            CountsView(eligible=42, offered=21, heard=20, succeeded=6, pending=14, unheard=1),
            gates(0.012, "not-enough-evidence"),
            6,
            [
                ("running", "started", "Wave 1 of 3 is open: 1 of 42 devices is offered version 3."),
                (
                    "running",
                    "wave-passed",
                    "Wave 2 of 3 is open: the canary succeeded, soaked for 60 s, and showed 412 records, gates passed.",
                ),
                (
                    "running",
                    "waiting",
                    "Wave 2 waits: 6 of 20 devices that were heard from succeeded (30 %), and 95 % must.",
                ),
            ],
        ),
        (
            "bearing-1-t0pp",
            "bearing",
            1,
            "stopped",
            1,
            ["done", "stopped", "waiting"],
            CountsView(eligible=42, offered=21, heard=19, succeeded=14, failed=3, pending=2, unheard=2),
            gates(0.03, "pass"),
            170,
            [
                ("running", "wave-opened", "Wave 2 of 3 is open: 21 of 42 devices are offered version 1."),
                (
                    "stopped",
                    "too-many-failed",
                    "3 of 19 devices heard from failed (15.8 %), and at most 5 % may. Stopped: devices that have "
                    "version 1 keep it, no other gets it. Resume it, or abort it to revert.",
                ),
            ],
        ),
        (
            "bearing-2-w4it",
            "bearing",
            2,
            "running",
            0,
            ["open", "waiting", "waiting"],
            CountsView(eligible=42, offered=1, heard=1, succeeded=1),
            gates(0.02, "pass"),
            25,
            [
                ("running", "wave-opened", "Wave 1 of 3 is open: 1 of 42 devices is offered version 2."),
                (
                    "running",
                    "approval-wanted",
                    "Wave 2 of 3 (21 devices) waits for somebody who approves it, and who is not maria. Before: 1 of 1 "
                    "devices heard from run it, 0 failed, 1,800 records, every gate passed.",
                ),
            ],
        ),
    ]
    now = hub.now()
    approval = Approval(waves="after-first", second_person=True)
    for id, model, number, state, wave, states, counts, judged, minutes, history in told:
        at = now - timedelta(minutes=minutes)
        one = RolloutView(
            id=id,
            model=model,
            version=number,
            state=state,
            wave=wave,
            waves=_waves(wave, states),
            counts=counts,
            evidence=evidence(number),
            gates=judged,
            because=because(history[-1][1], history[-1][2]),
            policy=Policy(approval=approval if id == "bearing-2-w4it" else Approval()),
            created_at=at,
            created_by="maria",
            failures=FAILURES[: counts.failed][::-1],
            updated_at=at + timedelta(minutes=len(history) - 1),
            revision=len(history),
        )
        hub.rollouts.rollouts[id] = one
        lasted = (one.updated_at - at).total_seconds() / 60
        hub.rollouts.readings[id] = [readings(gate, lasted, one.updated_at) for gate in judged]
        hub.rollouts.decided[id] = [
            replace_view(decision(one, n, at + timedelta(minutes=n - 1)), state=state, because=because(code, said))
            for n, (state, code, said) in enumerate(history, 1)
        ]


def replace_view(view: Any, **fields: Any) -> Any:
    return view.model_copy(update=fields)
