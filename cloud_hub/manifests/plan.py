"""What manifests ask for beside what is there: what applying them does, in words and as a mark of it all. Pure."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from cloud_hub.devices.selector_text import parse
from cloud_hub.devices.selectors import cohorts_of
from cloud_hub.devices.views import CohortView
from cloud_hub.errors import Fault
from cloud_hub.manifests.kinds import API_VERSION, CohortManifest, CohortSpec, Metadata, RolloutManifest, RolloutSpec
from cloud_hub.manifests.reading import Written
from cloud_hub.manifests.rendering import changed_fields, difference
from cloud_hub.manifests.views import DifferenceView
from cloud_hub.rollouts.views import PreviewView, RolloutIn, RolloutView

Change = Literal["none", "new", "changed"]


@dataclass(frozen=True)
class PlannedRollout:
    """A rollout's manifest beside the newest rollout of its name. `again`: one starts even if nothing has changed;
    `older` are those that it takes over from; `cohorts` is what those say that it is for. `preview` is None while one
    of these is not there yet."""

    written: Written
    manifest: RolloutManifest
    there: RolloutView | None
    again: bool = False
    older: tuple[RolloutView, ...] = ()
    cohorts: Mapping[str, str] = field(default_factory=dict)
    preview: PreviewView | None = None

    @property
    def change(self) -> Change:
        if self.there is None:
            return "new"
        return "none" if _spec_of(self.there) == self.manifest.spec else "changed"

    @property
    def starts(self) -> bool:
        return self.again or self.change != "none"

    @property
    def taking_over(self) -> str:
        told = ", ".join(f"{one.id} (version {one.version}, {one.state})" for one in self.older)
        return f"; it takes over from {told}" if told else ""

    @property
    def why(self) -> str:
        """Why one starts."""
        return {"new": "is new", "changed": "has changed", "none": "is started again"}[self.change]

    @property
    def sentence(self) -> str:
        """What applying it does."""
        name = self.manifest.metadata.name
        if not self.starts:
            return self.as_it_should_be
        return f"{name} {self.why}: a rollout starts{_reach(self)}{self.taking_over}."

    @property
    def as_it_should_be(self) -> str:
        assert self.there is not None
        name = self.manifest.metadata.name
        return f"{name} has not changed: {self.there.id} is {self.there.state}. {self.there.because.sentence}"

    def difference(self) -> DifferenceView:
        before = None
        if self.there is not None:
            metadata = Metadata(name=self.manifest.metadata.name)
            spec = _spec_of(self.there)
            before = RolloutManifest(apiVersion=API_VERSION, kind="Rollout", metadata=metadata, spec=spec)
        label = f"{self.there.id} ({self.there.state})" if self.there is not None else "/dev/null"
        return _view(self, before, label, self.there.id if self.there is not None else None)

    def facts(self) -> list[Any]:
        starts = [[(one.id, one.state) for one in self.older], dict(self.cohorts)] if self.starts else None
        return [self.manifest.model_dump(mode="json"), self.there.id if self.there is not None else None, starts]


@dataclass(frozen=True)
class PlannedCohort:
    """A cohort's manifest beside the cohort of its name."""

    written: Written
    manifest: CohortManifest
    there: CohortView | None

    @property
    def change(self) -> Change:
        if self.there is None:
            return "new"
        return "none" if self.there.selector == self.manifest.spec.selector else "changed"

    @property
    def saves(self) -> bool:
        return self.change != "none"

    @property
    def sentence(self) -> str:
        """What applying it does."""
        name, selector = self.manifest.metadata.name, self.manifest.spec.selector
        match self.change:
            case "none":
                return f"Cohort {name} has not changed."
            case "new":
                return f"Cohort {name} is new: {selector}"
            case "changed":
                return f"Cohort {name} has changed; rollouts that exist keep what it said: {selector}"

    def difference(self) -> DifferenceView:
        before, label = None, "/dev/null"
        if self.there is not None:
            before = self.manifest.model_copy(update={"spec": CohortSpec(selector=self.there.selector)})
            label = f"{self.there.name} (revision {self.there.revision})"
        return _view(self, before, label, None)

    def facts(self) -> list[Any]:
        return [self.manifest.model_dump(mode="json"), self.there.revision if self.there is not None else None]


Planned = PlannedCohort | PlannedRollout


def mark(planned: Sequence[Planned]) -> str:
    """The same for the same plan on the same things that are there, and another for any other."""
    facts = json.dumps([one.facts() for one in planned], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def rivals(planned: Sequence[PlannedRollout]) -> Iterator[Fault]:
    """Those that are for the same slot of a model as one before them."""
    seen: dict[tuple[str, str], PlannedRollout] = {}
    for one in planned:
        place = (one.manifest.spec.model, one.manifest.spec.slot)
        if first := seen.get(place):
            what = (
                f"{first.manifest.metadata.name!r} in {first.written.file} rolls out {place[0]} in the slot {place[1]} "
                "too, and one takes over from the other. Keep one of them."
            )
            yield one.written.fault(("spec", "model"), what)
        seen.setdefault(place, one)


def moved(planned: PlannedRollout) -> Iterator[Fault]:
    """A name keeps its model and slot."""
    spec, there, name = planned.manifest.spec, planned.there, planned.manifest.metadata.name
    if there is not None and (spec.model, spec.slot) != (there.model, there.slot):
        what = (
            f"The manifest {name!r} rolls out {there.model} in the slot {there.slot} ({there.id}), and keeps to "
            "it. Give another model or slot a manifest of another name."
        )
        yield planned.written.fault(("spec", "model" if spec.model != there.model else "slot"), what)


def unknown_cohorts(planned: Planned, known: set[str]) -> Iterator[Fault]:
    """Cohorts that it refers to, and that nobody has."""
    for place, selector in _selectors(planned):
        for name in sorted(cohorts_of(parse(selector)) - known):
            what = f"There is no cohort {name!r}. `vedette cohorts list` shows all; a manifest beside it can bring one."
            yield planned.written.fault(("spec", place), what)


def referred_to(spec: RolloutSpec, said: Mapping[str, str]) -> dict[str, str]:
    """What the cohorts say that `spec` refers to, and those that these refer to, as far as `said` has them."""
    found: dict[str, str] = {}
    texts = [spec.selector, spec.lab or ""]
    while texts:
        asked = {name for text in texts for name in cohorts_of(parse(text))} & said.keys() - found.keys()
        found |= {name: said[name] for name in asked}
        texts = [said[name] for name in asked]
    return found


def in_order(planned: Sequence[PlannedCohort]) -> tuple[list[PlannedCohort], list[Fault]]:
    """Those first that others refer to; and what is wrong when they refer to each other in a circle."""
    by_name = {one.manifest.metadata.name: one for one in planned}
    needs = {name: cohorts_of(parse(one.manifest.spec.selector)) & by_name.keys() for name, one in by_name.items()}
    try:
        return [by_name[name] for name in TopologicalSorter(needs).static_order()], []
    except CycleError as error:
        circle: list[str] = error.args[1]
        what = f"These cohorts refer to each other in a circle: {', '.join(reversed(circle))}."
        return list(planned), [by_name[circle[0]].written.fault(("spec", "selector"), what)]


def _selectors(planned: Planned) -> tuple[tuple[str, str], ...]:
    match planned:
        case PlannedCohort():
            return (("selector", planned.manifest.spec.selector),)
        case PlannedRollout():
            return (("selector", planned.manifest.spec.selector), ("lab", planned.manifest.spec.lab or ""))


def _reach(planned: PlannedRollout) -> str:
    """For how many devices it is, as far as that can be known before."""
    if planned.preview is None:
        return ""
    first, last = planned.preview.waves[0], planned.preview.waves[-1]
    if not last.covers:
        return " for the first device that fits"
    if planned.manifest.spec.approval.asked_for(0):
        return f" for {_devices(last.covers)}, and its first wave waits for an approval"
    return f" for {_devices(last.covers)}, {first.covers:,} of them at once"


def _devices(number: int) -> str:
    return f"{number:,} device{'' if number == 1 else 's'}"


def _view(planned: Planned, before: Any, label: str, rollout: str | None) -> DifferenceView:
    return DifferenceView(
        file=planned.written.file,
        kind=planned.manifest.kind,
        name=planned.manifest.metadata.name,
        change=planned.change,
        diff=difference(before, planned.manifest, label, planned.written.file),
        fields=changed_fields(before, planned.manifest),
        sentence=planned.sentence,
        rollout=rollout,
    )


def _spec_of(view: RolloutView) -> RolloutSpec:
    wanted = RolloutIn.model_validate(
        {"model": view.model, "version": view.version, "slot": view.slot, "policy": view.policy}
    )
    return RolloutSpec.of(wanted)
