"""Rows of rollouts and decisions as they are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from cloud_hub.because import BecauseView
from cloud_hub.rollouts.engine import Rollout
from cloud_hub.rollouts.explain import conditions, earliest
from cloud_hub.rollouts.holding import Pinned, holds
from cloud_hub.rollouts.outlook import Outlook
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.store import lines_of, policy_of
from cloud_hub.rollouts.tables import DecisionRow, GateReading, RolloutRow
from cloud_hub.rollouts.views import (
    CohortsView,
    ConditionView,
    CountsView,
    DecisionView,
    ExplanationView,
    FailureView,
    GateReadingsView,
    GateView,
    HoldView,
    LatestDecisionView,
    ManifestVersionView,
    PreviewView,
    PreviewWaveView,
    ReadingView,
    RolloutView,
    WaveView,
)
from cloud_hub.rollouts.waves import Line, names

_BACK = frozenset({State.REVERTING, State.REVERTED, State.ABORTED})
_HELD = frozenset({State.STOPPED, State.SUPERSEDED})


def rollout_view(row: RolloutRow) -> RolloutView:
    policy = policy_of(row)
    return RolloutView(
        id=row.id,
        model=row.model,
        slot=row.slot,
        version=row.version,
        state=row.state,
        wave=row.wave,
        waves=_waves(row, policy),
        **_seen(row.seen),
        because=BecauseView(code=row.because_code, sentence=row.because_sentence),
        policy=policy,
        created_at=row.created_at,
        updated_at=row.updated_at,
        revision=row.revision,
        created_by=row.created_by,
        manifest=_manifest(row),
    )


def decision_view(row: DecisionRow) -> DecisionView:
    return DecisionView(
        number=row.number,
        at=row.at,
        state=row.state,
        wave=row.wave,
        because=BecauseView(code=row.because_code, sentence=row.because_sentence),
        by=row.made_by,
        **_seen(row.evidence),
    )


def latest_view(decision: DecisionRow, row: RolloutRow) -> LatestDecisionView:
    return LatestDecisionView(
        rollout=row.id,
        model=row.model,
        version=row.version,
        number=decision.number,
        at=decision.at,
        state=decision.state,
        wave=decision.wave,
        because=BecauseView(code=decision.because_code, sentence=decision.because_sentence),
        by=decision.made_by,
    )


def _manifest(row: RolloutRow) -> ManifestVersionView | None:
    if row.manifest is None or row.manifest_generation is None:
        return None
    return ManifestVersionView(name=row.manifest, generation=row.manifest_generation)


def _seen(seen: dict[str, Any]) -> dict[str, Any]:
    return {
        "counts": CountsView.model_validate(seen["counts"]),
        "evidence": CohortsView.model_validate(seen["evidence"]),
        "gates": [GateView.model_validate(gate) for gate in seen["gates"]],
        "failures": [FailureView.model_validate(failure) for failure in seen["failures"]],
    }


def readings_views(rows: Iterable[GateReading]) -> list[GateReadingsView]:
    """`rows`, by gate."""
    readings: dict[str, list[ReadingView]] = {}
    for row in rows:
        for gate in row.gates:
            readings.setdefault(gate["name"], []).append(ReadingView.model_validate({**gate, "at": row.at}))
    return [GateReadingsView(name=name, readings=found) for name, found in readings.items()]


def _waves(row: RolloutRow, policy: Policy) -> list[WaveView]:
    eligible: int = row.seen["counts"]["eligible"]
    state = State(row.state)
    covers = [line.total for line in lines_of(row)] or [0] * len(names(policy))
    return [
        WaveView(
            name=name,
            exposed_percent=round(100 * covers[number] / eligible, 2) if eligible else 0.0,
            covers=covers[number],
            state=_wave_state(number, row.wave, state),
        )
        for number, name in enumerate(names(policy))
    ]


def preview_view(salt: str, lines: Sequence[Line], wave: int, devices: list[str]) -> PreviewView:
    totals = [0, *(line.total for line in lines)]
    return PreviewView(
        salt=salt,
        waves=[
            PreviewWaveView(name=line.name, covers=line.total, added=line.total - before, by_target=dict(line.devices))
            for line, before in zip(lines, totals, strict=False)
        ],
        wave=wave,
        devices=devices,
    )


def _wave_state(number: int, open_wave: int, state: State) -> str:
    if number > open_wave:
        return "waiting"
    if state in _BACK:
        return "reverted"
    if number < open_wave or state is State.COMPLETED:
        return "done"
    return "stopped" if state in _HELD else "open"


def explanation_view(
    row: RolloutRow, decided: Rollout, policy: Policy, outlook: Outlook, pinned: Pinned, now: datetime
) -> ExplanationView:
    snapshot = outlook.snapshot
    return ExplanationView(
        rollout=row.id,
        state=decided.state.value,
        wave=decided.wave,
        because=BecauseView(code=decided.because.code, sentence=decided.because.sentence),
        conditions=[ConditionView(**asdict(one)) for one in conditions(decided, policy, snapshot, now)],
        earliest=earliest(decided, policy, snapshot, now),
        held=[HoldView(**asdict(one)) for one in holds(decided, policy, snapshot, pinned)],
        failures=[FailureView.model_validate(one) for one in outlook.seen.get("failures", [])],
    )
