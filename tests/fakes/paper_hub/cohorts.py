"""Saved selectors that exist only on paper."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from cloud_hub.access.once import RequestKey
from cloud_hub.devices.selector_text import parse
from cloud_hub.devices.selectors import cohorts_of
from cloud_hub.devices.views import CohortIn, CohortView
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.revisions import AsSeen, check_seen
from fleet_contract.topics import check_id


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

    def replace(self, name: str, selector: str, by: str, seen: AsSeen = None) -> CohortView:
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
