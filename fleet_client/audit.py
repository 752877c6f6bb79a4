"""The audit: who wrote what, when."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from fleet_client import paging
from fleet_client.http import API, Http
from fleet_client.views import Page


class Write(msgspec.Struct, frozen=True):
    """One write that the hub did: by whom, by their own account; and what was asked for, cut at 4,000 characters."""

    number: int
    at: datetime
    by: str
    method: str
    path: str
    status: int
    body: str | None = None


class Audit:
    """`client.audit`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def page(
        self, *, by: str | None = None, q: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Write]:
        """A page of writes, newest first: by whom, and with `q` in their path."""
        return paging.page(self._http, Write, f"{API}/audit", {"by": by, "q": q}, limit, cursor)

    def all(self, *, by: str | None = None, q: str | None = None) -> Iterator[Write]:
        return paging.every(self._http, Write, f"{API}/audit", {"by": by, "q": q})
