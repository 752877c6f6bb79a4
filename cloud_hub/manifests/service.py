"""Brings the hub to what manifests say, and tells before what that changes."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cloud_hub.access.actor import OPERATOR
from cloud_hub.access.once import RequestKey
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.selector_text import parse
from cloud_hub.devices.selectors import cohorts_of
from cloud_hub.devices.views import CohortIn, CohortView
from cloud_hub.errors import Fault, HubError, Invalid
from cloud_hub.manifests.kinds import API_VERSION, CohortManifest, CohortSpec, Metadata, RolloutManifest, RolloutSpec
from cloud_hub.manifests.reading import Written, read, wrong_manifests
from cloud_hub.manifests.rendering import difference
from cloud_hub.manifests.views import AppliedView, ApplyView, DifferenceView, DiffView, ManifestFile
from cloud_hub.page import PageRequest
from cloud_hub.rollouts.origin import ManifestVersion, Origin
from cloud_hub.rollouts.service import RolloutService
from cloud_hub.rollouts.states import FOLLOWING, State
from cloud_hub.rollouts.views import RolloutIn, RolloutView

#: Where in a manifest the fault is that the hub finds with what it has.
_FAULTY: dict[str, tuple[str, ...]] = {
    "model-unknown": ("spec", "model"),
    "version-unknown": ("spec", "version"),
    "artifact-missing": ("spec", "version"),
}


@dataclass(frozen=True)
class _Planned:
    """A rollout's manifest beside the newest rollout of its name."""

    written: Written
    manifest: RolloutManifest
    there: RolloutView | None

    @property
    def change(self) -> Literal["none", "new", "changed"]:
        if self.there is None:
            return "new"
        return "none" if _spec_of(self.there) == self.manifest.spec else "changed"


@dataclass(frozen=True)
class _PlannedCohort:
    """A cohort's manifest beside the cohort of its name."""

    written: Written
    manifest: CohortManifest
    there: CohortView | None

    @property
    def change(self) -> Literal["none", "new", "changed"]:
        if self.there is None:
            return "new"
        return "none" if self.there.selector == self.manifest.spec.selector else "changed"


class ManifestService:
    """Thread-safe."""

    def __init__(self, rollouts: RolloutService, cohorts: CohortService) -> None:
        self._rollouts = rollouts
        self._cohorts = cohorts

    def diff(self, files: Sequence[ManifestFile]) -> DiffView:
        """What applying `files` would change. Raises `Faulty`, `TooLarge`."""
        views = [self._difference(one) for one in self._plan(files)]
        return DiffView(differs=any(view.change != "none" for view in views), manifests=views)

    def apply(
        self, files: Sequence[ManifestFile], by: str = OPERATOR, *, again: bool = False, key: str | None = None
    ) -> ApplyView:
        """Saves each cohort and starts a rollout for each manifest that is new or has changed; with `again`, for each.

        Nothing is started when anything is wrong with any file. Raises `Faulty`, `TooLarge`, and `Conflict` when
        another has applied the same manifest in the same moment: apply again, which repeats nothing.
        """
        return ApplyView(
            manifests=[
                self._apply_cohort(one, by) if isinstance(one, _PlannedCohort) else self._apply(one, by, again, key)
                for one in self._plan(files)
            ]
        )

    def _plan(self, files: Sequence[ManifestFile]) -> list[_Planned | _PlannedCohort]:
        cohorts, rollouts = [], []
        there = {one.name: one for one in self._cohorts.all()}
        for one in read([(file.name, file.text) for file in files]):
            name = one.manifest.metadata.name
            match one.manifest:
                case CohortManifest():
                    cohorts.append(_PlannedCohort(one, one.manifest, there.get(name)))
                case RolloutManifest():
                    rollouts.append(_Planned(one, one.manifest, self._rollouts.newest_of_manifest(name)))
        coming = {one.manifest.metadata.name for one in cohorts if one.change != "none"}
        known = there.keys() | coming
        faults = [*_rivals(rollouts), *(fault for one in rollouts for fault in self._faults(one, coming, known))]
        if faults:
            raise wrong_manifests(faults)
        return [*cohorts, *rollouts]

    def _faults(self, planned: _Planned, coming: set[str], known: set[str]) -> list[Fault]:
        spec, there, fault = planned.manifest.spec, planned.there, planned.written.fault
        if there is not None and (spec.model, spec.slot) != (there.model, there.slot):
            name = planned.manifest.metadata.name
            what = (
                f"The manifest {name!r} rolls out {there.model} in the slot {there.slot} ({there.id}), and keeps to "
                "it. Give another model or slot a manifest of another name."
            )
            return [fault(("spec", "model" if spec.model != there.model else "slot"), what)]
        if planned.change == "none":
            return []
        if unknown := list(_unknown_cohorts(planned, known)):
            return unknown
        # What refers to a cohort that these files bring is checked once that is there.
        if coming & {*cohorts_of(parse(spec.selector)), *cohorts_of(parse(spec.lab or ""))}:
            return []
        try:
            self._rollouts.check(spec.wanted())
        except HubError as error:
            return [fault(_FAULTY.get(error.code, ("spec",)), str(error))]
        return []

    def _difference(self, planned: _Planned | _PlannedCohort) -> DifferenceView:
        if isinstance(planned, _PlannedCohort):
            return _cohort_difference(planned)
        manifest, there = planned.manifest, planned.there
        name = manifest.metadata.name
        if there is not None and planned.change == "none":
            sentence = _as_it_should_be(name, there)
        else:
            is_what = "is new" if there is None else "has changed"
            sentence = f"{name} {is_what}: a rollout starts{self._taking_over(manifest.spec)}."
        before = _manifest_of(name, there) if there is not None else None
        label = f"{there.id} ({there.state})" if there is not None else "/dev/null"
        return DifferenceView(
            file=planned.written.file,
            kind=manifest.kind,
            name=name,
            change=planned.change,
            diff=difference(before, manifest, label, planned.written.file),
            sentence=sentence,
            rollout=there.id if there is not None else None,
        )

    def _apply_cohort(self, planned: _PlannedCohort, by: str) -> AppliedView:
        manifest, there = planned.manifest, planned.there
        name, selector = manifest.metadata.name, manifest.spec.selector
        outcome: Literal["unchanged", "created", "changed"] = "unchanged"
        try:
            if there is None:
                outcome = "created"
                self._cohorts.create(CohortIn(name=name, selector=selector), by)
            elif planned.change == "changed":
                outcome = "changed"
                self._cohorts.replace(name, selector, by, there.revision)
        except Invalid as error:
            raise wrong_manifests([planned.written.fault(("spec", "selector"), str(error))]) from error
        return AppliedView(
            file=planned.written.file,
            kind=manifest.kind,
            name=name,
            outcome=outcome,
            sentence=_cohort_sentence(planned),
            rollout=None,
        )

    def _apply(self, planned: _Planned, by: str, again: bool, key: str | None) -> AppliedView:
        manifest, there = planned.manifest, planned.there
        name = manifest.metadata.name
        outcome: Literal["unchanged", "created", "changed"]
        if there is not None and planned.change == "none" and not again:
            outcome, sentence, rollout = "unchanged", _as_it_should_be(name, there), there
        else:
            others = self._taking_over(manifest.spec)
            generation = there.manifest.generation + 1 if there is not None and there.manifest is not None else 1
            digest = hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()
            request = RequestKey(f"{key}/{manifest.kind}/{name}", digest) if key else None
            rollout = self._rollouts.create(
                manifest.spec.wanted(), Origin(by, ManifestVersion(name, generation), request)
            )
            outcome = "created" if there is None else "changed"
            why = {"new": "is new", "changed": "has changed", "none": "is started again"}[planned.change]
            sentence = f"{name} {why}: {rollout.id} has started{others}."
        return AppliedView(
            file=planned.written.file,
            kind=manifest.kind,
            name=name,
            outcome=outcome,
            sentence=sentence,
            rollout=rollout,
        )

    def _taking_over(self, spec: RolloutSpec) -> str:
        newest = self._rollouts.page(PageRequest(limit=50), model=spec.model).items
        older = [one for one in newest if one.slot == spec.slot and one.state in _SUPERSEDED_BY_A_NEWER]
        told = ", ".join(f"{one.id} (version {one.version}, {one.state})" for one in older)
        return f"; it takes over from {told}" if told else ""


_SUPERSEDED_BY_A_NEWER = frozenset(state for state in State if State.SUPERSEDED in FOLLOWING[state])


def _rivals(planned: list[_Planned]) -> Iterator[Fault]:
    seen: dict[tuple[str, str], _Planned] = {}
    for one in planned:
        place = (one.manifest.spec.model, one.manifest.spec.slot)
        if first := seen.get(place):
            what = (
                f"{first.manifest.metadata.name!r} in {first.written.file} rolls out {place[0]} in the slot {place[1]} "
                "too, and one takes over from the other. Keep one of them."
            )
            yield one.written.fault(("spec", "model"), what)
        seen.setdefault(place, one)


def _unknown_cohorts(planned: _Planned, known: set[str]) -> Iterator[Fault]:
    spec = planned.manifest.spec
    for field, selector in (("selector", spec.selector), ("lab", spec.lab or "")):
        for name in sorted(cohorts_of(parse(selector)) - known):
            what = f"There is no cohort {name!r}. `vedette cohorts list` shows all; a manifest beside it can bring one."
            yield planned.written.fault(("spec", field), what)


def _cohort_sentence(planned: _PlannedCohort) -> str:
    name = planned.manifest.metadata.name
    match planned.change:
        case "none":
            return f"Cohort {name} has not changed."
        case "new":
            return f"Cohort {name} is new: {planned.manifest.spec.selector}"
        case "changed":
            return f"Cohort {name} has changed; rollouts that exist keep what it said: {planned.manifest.spec.selector}"


def _cohort_difference(planned: _PlannedCohort) -> DifferenceView:
    manifest, there = planned.manifest, planned.there
    before = manifest.model_copy(update={"spec": CohortSpec(selector=there.selector)}) if there is not None else None
    label = f"{there.name} (revision {there.revision})" if there is not None else "/dev/null"
    return DifferenceView(
        file=planned.written.file,
        kind=manifest.kind,
        name=manifest.metadata.name,
        change=planned.change,
        diff=difference(before, manifest, label, planned.written.file),
        sentence=_cohort_sentence(planned),
        rollout=None,
    )


def _spec_of(view: RolloutView) -> RolloutSpec:
    wanted = RolloutIn.model_validate(
        {"model": view.model, "version": view.version, "slot": view.slot, "policy": view.policy}
    )
    return RolloutSpec.of(wanted)


def _manifest_of(name: str, view: RolloutView) -> RolloutManifest:
    return RolloutManifest(apiVersion=API_VERSION, kind="Rollout", metadata=Metadata(name=name), spec=_spec_of(view))


def _as_it_should_be(name: str, there: RolloutView) -> str:
    return f"{name} has not changed: {there.id} is {there.state}. {there.because.sentence}"
