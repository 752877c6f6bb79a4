"""Who wrote what, and which requests came before."""

from dataclasses import dataclass, field

from cloud_hub.access.once import REQUEST_KEY_REUSED, RequestKey
from cloud_hub.access.views import AuditView
from cloud_hub.errors import Invalid
from cloud_hub.page import Page, PageRequest
from tests.fakes.paper_hub.views import page_of


@dataclass
class FakeRequests:
    begun: dict[str, str] = field(default_factory=dict)

    def came(self, request: RequestKey | None) -> bool:
        return request is not None and request.key in self.begun

    def begin(self, request: RequestKey | None) -> bool:
        if request is None:
            return True
        first = request.key not in self.begun
        if self.begun.setdefault(request.key, request.digest) != request.digest:
            raise Invalid("The request key came before.", code=REQUEST_KEY_REUSED)
        return first

    def forget(self, request: RequestKey | None) -> None:
        if request is not None:
            self.begun.pop(request.key, None)


@dataclass
class FakeAudit:
    writes: list[AuditView] = field(default_factory=list)

    def page(self, request: PageRequest, by: str | None = None, q: str | None = None) -> Page[AuditView]:
        found = [one for one in self.writes if by in (None, one.by) and (q or "") in one.path]
        return page_of(sorted(found, key=lambda one: -one.number), request)
