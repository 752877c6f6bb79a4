"""Rollouts: the list, and one rollout with its waves, gates, evidence, history, and what a person may do to it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from cloud_hub.console import actor, words
from cloud_hub.console.actions import Action, actions, waits_for_approval
from cloud_hub.console.comparison import Cohort, confidence, predictions
from cloud_hub.console.course import Course, course
from cloud_hub.console.drawing import Drawing, Interval, interval
from cloud_hub.console.parts import Parts
from cloud_hub.console.progress import BACK, Progress, following, progress
from cloud_hub.console.query import Query
from cloud_hub.console.render import Renderer
from cloud_hub.devices.store import DeviceFilter
from cloud_hub.devices.views import DeviceView
from cloud_hub.page import Page, PageRequest
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.views import (
    ConditionView,
    DecisionView,
    ExplanationView,
    FailureView,
    GateReadingsView,
    GateView,
    HoldView,
    PinView,
    RolloutView,
)

_DECISIONS_SHOWN = 10
_DEVICES_SHOWN = 12
MAX_REASON = 300
#: What conditions are called, where their own name is not enough.
_CONDITIONS = {
    "running": "State",
    "eligible": "Devices to begin with",
    "orders": "Orders given",
    "heard": "Heard from",
    "success": "Run it",
    "devices": "Run it, at the least",
    "failures": "Failed",
}
#: What holds devices, as `holding.py` says.
_HOLDS = {
    "frozen": "The fleet is frozen",
    "paused": "The rollout is paused",
    "stopped": "The rollout is stopped",
    "rate": "Rate",
    "cap": "Devices in flight",
    "group": "Others of their group",
    "jitter": "Their moment",
    "turn": "Their turn",
    "away": "Not connected",
    "window": "Maintenance window",
    "unheard": "Not heard from",
    "wave": "Later waves",
    "pinned": "Pinned",
    "returning": "Going back",
}
_CONFIDENCE_WITHIN = timedelta(hours=3)


class Rollouts:
    """The list."""

    states = tuple(state.value for state in State)

    def __init__(self, parts: Parts, query: Query) -> None:
        self._parts, self._query = parts, query
        self.model, self.state, self.seen = query.text("model"), query.text("state"), query.seen

    @cached_property
    def page(self) -> Page[RolloutView]:
        return self._parts.rollouts.page(self._query.page(), model=self.model, state=self.state)

    @staticmethod
    def progress(rollout: RolloutView) -> Progress:
        return progress(rollout)

    @staticmethod
    def waits(rollout: RolloutView) -> bool:
        return waits_for_approval(rollout)

    @cached_property
    def pins(self) -> list[PinView]:
        """Devices that no rollout moves now."""
        return self._parts.pins.list()

    @property
    def models(self) -> list[str]:
        return [model.name for model in self._parts.releases.models(PageRequest(limit=500)).items]


class OneRollout:
    """One rollout's page."""

    def __init__(self, parts: Parts, rollout: str, query: Query) -> None:
        self._parts, self._query = parts, query
        self.rollout = parts.rollouts.get(rollout)
        self.seen = query.seen

    @property
    def back(self) -> bool:
        """Whether what it brought was taken back: its counts are those of that moment."""
        return State(self.rollout.state) in BACK

    @property
    def policy_sentence(self) -> str:
        return describe(self.rollout.policy)

    @property
    def actions(self) -> tuple[Action, ...]:
        return actions(self.rollout)

    @cached_property
    def decisions(self) -> Page[DecisionView]:
        return self._parts.rollouts.decisions(self.rollout.id, self._query.page(_DECISIONS_SHOWN))

    @cached_property
    def _opened(self) -> list[tuple[datetime, str]]:
        return [(at, f"wave {wave + 1} opened") for wave, at in self._parts.rollouts.openings(self.rollout.id)]

    @cached_property
    def _readings(self) -> Mapping[str, GateReadingsView]:
        return {one.name: one for one in self._parts.rollouts.gates(self.rollout.id)}

    @cached_property
    def explained(self) -> ExplanationView:
        """Each condition of its next step, as things are now."""
        return self._parts.rollouts.explain(self.rollout.id)

    @property
    def conditions(self) -> list[ConditionView]:
        """What is missing first."""
        return sorted(self.explained.conditions, key=lambda one: one.met)

    @staticmethod
    def holder(hold: HoldView) -> str:
        return _HOLDS.get(hold.code, hold.code.capitalize())

    @property
    def next_step(self) -> str:
        wave = following(self.rollout)
        return "What it needs to be complete" if wave is None else f"What wave {wave + 1} needs to open"

    @staticmethod
    def named(condition: ConditionView) -> str:
        return _CONDITIONS.get(condition.name, condition.name.replace("_", " ").capitalize())

    def course(self, gate: GateView) -> Course | None:
        """What `gate` measured over time; None while there is too little of it for a line."""
        found = self._readings.get(gate.name)
        return course(found, self._opened) if found else None

    @property
    def failures(self) -> list[tuple[FailureView, float]]:
        """Why devices failed, each with its share of the most frequent reason."""
        most = max((failure.devices for failure in self.rollout.failures), default=1)
        return [(failure, failure.devices / most) for failure in self.rollout.failures]

    @staticmethod
    def interval(gate: GateView) -> Interval:
        low, high, allowed = (words.percent(figure) for figure in (gate.lower, gate.upper, gate.threshold))
        label = f"Between {low} and {high}, allowed {allowed}"
        return interval(gate.lower, gate.value, gate.upper, gate.threshold, label)

    @cached_property
    def devices(self) -> Page[DeviceView]:
        return self._parts.devices.page(DeviceFilter(rollout=self.rollout.id), PageRequest(limit=_DEVICES_SHOWN))

    @property
    def cohorts(self) -> tuple[Cohort, Cohort]:
        """The devices that run this version, and those that run any other of the model in the same time."""
        evidence = self.rollout.evidence
        return (
            Cohort("treated", f"v{self.rollout.version}", evidence.treated),
            Cohort("control", "others", evidence.control),
        )

    @property
    def predictions(self) -> Drawing | None:
        labels = self._parts.releases.version(self.rollout.model, self.rollout.version).labels
        return predictions(labels, self.cohorts)

    @property
    def confidence(self) -> Drawing | None:
        """How sure both cohorts were; None once that was too long ago to add it up for a page."""
        model, since, version = self.rollout.model, self.rollout.created_at, self.rollout.version
        slot = self.rollout.slot
        if self._parts.now() - since > _CONFIDENCE_WITHIN:
            return None
        versions = self._parts.releases.versions(model, PageRequest(limit=500)).items
        edges = {
            artifact.digest: tuple(artifact.manifest["reference"]["confidence"]["edges"])
            for one in versions
            for artifact in one.artifacts
        }
        monitoring = self._parts.monitoring
        treated = monitoring.evidence(model, since, version=version, slot=slot).confidence
        control = monitoring.evidence(model, since, not_version=version).confidence
        return confidence(edges, {"treated": treated, "control": control}, self.cohorts)


def describe(policy: Policy) -> str:
    """What a wave waits for, in words."""
    said = f"{words.percent(policy.success_percent / 100)} succeeded"
    if policy.minimum_records:
        said += f", {words.plural(policy.minimum_records, 'record')}"
    if policy.soak_seconds:
        said += f", {words.duration(policy.soak_seconds)} of soak"
    return f"each wave waits for {said}"


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/rollouts`, `/rollouts/ID`, and what its buttons post to."""
    api = APIRouter()

    @api.get("/rollouts")
    def rollouts(request: Request) -> Response:
        return renderer.page(
            request, "rollouts.html", view=Rollouts(parts, Query(request)), subjects=("rollouts", "devices")
        )

    @api.get("/rollouts/{rollout}")
    def rollout(request: Request, rollout: str) -> Response:
        subjects = (f"rollout:{rollout}", "devices", "telemetry")
        return renderer.page(
            request, "rollout.html", view=OneRollout(parts, rollout, Query(request)), subjects=subjects
        )

    @api.post("/rollouts/{rollout}/{verb}")
    def act(
        request: Request,
        rollout: str,
        verb: Literal["approve", "pause", "resume", "abort"],
        reason: Annotated[str, Form()] = "",
        by: Annotated[str, Form()] = "",
        revision: Annotated[int | None, Form()] = None,
    ) -> Response:
        rollouts, said, who = parts.rollouts, reason.strip()[:MAX_REASON], actor.acting(by)
        {"approve": rollouts.approve, "pause": rollouts.pause, "resume": rollouts.resume, "abort": rollouts.abort}[
            verb
        ](rollout, said, who, revision)
        response = RedirectResponse(f"/rollouts/{rollout}", 303)
        actor.remember(request, response, who)
        return response

    return api
