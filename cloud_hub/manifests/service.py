"""Brings the hub to what manifests say, and tells before what that changes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from cloud_hub.access.actor import OPERATOR
from cloud_hub.access.once import RequestKey, Requests
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.views import CohortIn
from cloud_hub.errors import Fault, HubError, Invalid, Stale
from cloud_hub.manifests.kinds import CohortManifest, RolloutManifest, RolloutSpec
from cloud_hub.manifests.plan import (
    Planned,
    PlannedCohort,
    PlannedRollout,
    in_order,
    mark,
    moved,
    referred_to,
    rivals,
    unknown_cohorts,
)
from cloud_hub.manifests.reading import Written, read, wrong_manifests
from cloud_hub.manifests.views import AppliedView, ApplyView, DiffView, ManifestFile
from cloud_hub.page import PageRequest
from cloud_hub.rollouts.origin import ManifestVersion, Origin
from cloud_hub.rollouts.service import RolloutService
from cloud_hub.rollouts.states import FOLLOWING, State
from cloud_hub.rollouts.views import PreviewView, RolloutView

#: Where in a manifest the fault is that the hub finds with what it has.
_FAULTY: dict[str, tuple[str, ...]] = {
    "model-unknown": ("spec", "model"),
    "version-unknown": ("spec", "version"),
    "artifact-missing": ("spec", "version"),
    "lab-empty": ("spec", "lab"),
}
_SUPERSEDED_BY_A_NEWER = frozenset(state for state in State if State.SUPERSEDED in FOLLOWING[state])
Outcome = Literal["unchanged", "created", "changed"]


class ManifestService:
    """Thread-safe. `requests` are those that applied something as it was seen."""

    def __init__(self, rollouts: RolloutService, cohorts: CohortService, requests: Requests) -> None:
        self._rollouts = rollouts
        self._cohorts = cohorts
        self._requests = requests

    def diff(self, files: Sequence[ManifestFile], *, again: bool = False) -> DiffView:
        """What applying `files`, with the same `again`, would change. Raises `Faulty`, `TooLarge`."""
        planned = self._plan(files, again)
        return DiffView(
            differs=any(_does(one) for one in planned),
            seen=mark(planned),
            manifests=[one.difference() for one in planned],
        )

    def apply(
        self,
        files: Sequence[ManifestFile],
        by: str = OPERATOR,
        *,
        again: bool = False,
        key: str | None = None,
        seen: str | frozenset[str] | None = None,
    ) -> ApplyView:
        """Saves each cohort and starts a rollout for each manifest that is new or has changed; with `again`, for each.

        Nothing is started when anything is wrong with any file. Raises `Faulty`, `TooLarge`; `Stale` when this would
        do something else than the `diff` that gave `seen`, or one of several, told, unless a request of the same `key`
        was it that did it; and `Conflict` when another has applied the same manifest in the same moment: apply again,
        which repeats nothing.
        """
        planned = self._plan(files, again)
        tags = frozenset({seen}) if isinstance(seen, str) else seen
        asked = f"{None if tags is None else ' '.join(sorted(tags))}\n{again}\n{_texts(files)}"
        request = RequestKey(key, hashlib.sha256(asked.encode()).hexdigest()) if key else None
        if tags is None:
            return self._carry_out(planned, by, key)
        # Before it begins: another of its key that comes meanwhile must not be taken for one that was done.
        if mark(planned) not in tags and not self._requests.came(request):
            raise Stale(
                "Applying this now would do something else than what was shown: the hub, or what was to be "
                "applied, is another by now.",
                "Look at what would change now, and decide again.",
            )
        first = self._requests.begin(request)
        try:
            return self._carry_out(planned, by, key)
        except HubError:
            # Only what was done may be answered again without another look.
            if first:
                self._requests.forget(request)
            raise

    def _plan(self, files: Sequence[ManifestFile], again: bool) -> list[Planned]:
        cohorts: list[PlannedCohort] = []
        written: list[tuple[Written, RolloutManifest]] = []
        there = {one.name: one for one in self._cohorts.all()}
        for one in read([(file.name, file.text) for file in files]):
            match one.manifest:
                case CohortManifest() as manifest:
                    cohorts.append(PlannedCohort(one, manifest, there.get(manifest.metadata.name)))
                case RolloutManifest() as manifest:
                    written.append((one, manifest))
        coming = {one.manifest.metadata.name: one.manifest.spec.selector for one in cohorts if one.saves}
        said = {name: one.selector for name, one in there.items()} | coming
        cohorts, faults = in_order(cohorts)
        faults += [fault for cohort in cohorts for fault in unknown_cohorts(cohort, set(said))]
        rollouts = []
        for one, manifest in written:
            planned, wrong = self._planned(
                PlannedRollout(one, manifest, self._newest(manifest), again), set(coming), said
            )
            rollouts.append(planned)
            faults += wrong
        if faults := [*rivals(rollouts), *faults]:
            raise wrong_manifests(faults)
        return [*cohorts, *rollouts]

    def _newest(self, manifest: RolloutManifest) -> RolloutView | None:
        return self._rollouts.newest_of_manifest(manifest.metadata.name)

    def _planned(
        self, planned: PlannedRollout, coming: set[str], said: Mapping[str, str]
    ) -> tuple[PlannedRollout, list[Fault]]:
        """With what it would start, if it starts anything; and what is wrong with it. `said` is what cohorts say, those
        that are `coming` with these files included."""
        if faults := list(moved(planned)):
            return planned, faults
        if not planned.starts:
            return planned, []
        if faults := list(unknown_cohorts(planned, set(said))):
            return planned, faults
        spec, preview = planned.manifest.spec, None
        cohorts = referred_to(spec, said)
        # What refers to a cohort that these files bring is checked once that is there.
        if not coming & cohorts.keys():
            found = self._previewed(spec, planned.written)
            if isinstance(found, Fault):
                return planned, [found]
            preview = found
        return replace(planned, older=self._older(spec), cohorts=cohorts, preview=preview), []

    def _previewed(self, spec: RolloutSpec, written: Written) -> PreviewView | Fault:
        try:
            return self._rollouts.preview(spec.wanted(), limit=0)
        except HubError as error:
            return written.fault(_FAULTY.get(error.code, ("spec",)), str(error))

    def _older(self, spec: RolloutSpec) -> tuple[RolloutView, ...]:
        newest = self._rollouts.page(PageRequest(limit=50), model=spec.model).items
        return tuple(one for one in newest if one.slot == spec.slot and one.state in _SUPERSEDED_BY_A_NEWER)

    def _carry_out(self, planned: Sequence[Planned], by: str, key: str | None) -> ApplyView:
        applied = []
        for one in planned:
            match one:
                case PlannedCohort():
                    applied.append(self._save(one, by, key))
                case PlannedRollout():
                    applied.append(self._start(one, by, key))
        return ApplyView(manifests=applied)

    def _save(self, planned: PlannedCohort, by: str, key: str | None) -> AppliedView:
        manifest, there = planned.manifest, planned.there
        name, selector = manifest.metadata.name, manifest.spec.selector
        outcome: Outcome = "unchanged"
        try:
            if there is None:
                outcome = "created"
                self._cohorts.create(CohortIn(name=name, selector=selector), by, _part(key, manifest))
            elif planned.change == "changed":
                outcome = "changed"
                self._cohorts.replace(name, selector, by, there.revision)
        except Invalid as error:
            raise wrong_manifests([planned.written.fault(("spec", "selector"), str(error))]) from error
        return _applied(planned, outcome, planned.sentence, None)

    def _start(self, planned: PlannedRollout, by: str, key: str | None) -> AppliedView:
        manifest, there = planned.manifest, planned.there
        if not planned.starts:
            return _applied(planned, "unchanged", planned.as_it_should_be, there)
        name = manifest.metadata.name
        generation = there.manifest.generation + 1 if there is not None and there.manifest is not None else 1
        origin = Origin(by, ManifestVersion(name, generation), _part(key, manifest))
        rollout = self._rollouts.create(manifest.spec.wanted(), origin)
        sentence = f"{name} {planned.why}: {rollout.id} has started{planned.taking_over}."
        return _applied(planned, "created" if there is None else "changed", sentence, rollout)


def _does(planned: Planned) -> bool:
    return planned.saves if isinstance(planned, PlannedCohort) else planned.starts


def _part(key: str | None, manifest: CohortManifest | RolloutManifest) -> RequestKey | None:
    """The part of the request of this `key` that does this manifest."""
    digest = hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()
    return RequestKey(f"{key}/{manifest.kind}/{manifest.metadata.name}", digest) if key else None


def _texts(files: Sequence[ManifestFile]) -> str:
    return "\n".join(file.model_dump_json() for file in files)


def _applied(planned: Planned, outcome: Outcome, sentence: str, rollout: RolloutView | None) -> AppliedView:
    return AppliedView(
        file=planned.written.file,
        kind=planned.manifest.kind,
        name=planned.manifest.metadata.name,
        outcome=outcome,
        sentence=sentence,
        rollout=rollout,
    )
