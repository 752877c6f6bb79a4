"""The audit: who wrote what, when."""

from functools import cached_property

from fastapi import APIRouter, Request, Response

from cloud_hub.access.views import AuditView
from cloud_hub.console.parts import Parts
from cloud_hub.console.query import Query
from cloud_hub.console.render import Renderer
from cloud_hub.page import Page


class Writes:
    """The list, narrowed to a person and to a part of what was written to."""

    def __init__(self, parts: Parts, query: Query) -> None:
        self._parts, self._query = parts, query
        self.by, self.q, self.seen = query.text("by"), query.text("q"), query.seen

    @cached_property
    def page(self) -> Page[AuditView]:
        return self._parts.audit.page(self._query.page(), self.by, self.q)


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/audit`."""
    api = APIRouter()

    @api.get("/audit")
    def audit(request: Request) -> Response:
        return renderer.page(request, "audit.html", view=Writes(parts, Query(request)))

    return api
