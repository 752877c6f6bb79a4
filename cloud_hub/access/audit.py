"""The audit: who wrote what, when. Stands before the whole app, and keeps a write before its answer goes out."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_hub.access import store
from cloud_hub.access.actor import COOKIE, OPERATOR
from cloud_hub.access.guard import MAX_BODY_BYTES
from cloud_hub.access.tables import AuditRow
from cloud_hub.access.views import AuditView
from cloud_hub.database import Database
from cloud_hub.forgetting import forget
from cloud_hub.page import Page, PageRequest

logger = logging.getLogger(__name__)

MAX_BODY_CHARACTERS = 4_000
#: POST, for what they are asked does not fit into an address; they change nothing.
READS = frozenset({"/api/v1/manifests/diff", "/api/v1/rollouts/preview", "/api/v1/lake/query"})
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_FORM = "application/x-www-form-urlencoded"
_TEXTS = ("application/json", _FORM)
#: Forms of the console that show what would be with 200, and do it with a redirect, if they do it.
_SHOW = frozenset({"/rollouts/new", "/manifests", "/labels"})


class AuditService:
    """Thread-safe. A write is kept for `kept_for`."""

    def __init__(self, database: Database, now: Callable[[], datetime], kept_for: timedelta) -> None:
        self._database = database
        self._now = now
        self._kept_for = kept_for

    def keep(self, by: str, method: str, path: str, status: int, body: str | None) -> None:
        """Notes a write."""
        row = AuditRow(at=self._now(), by=by, method=method, path=path, status=status, body=body)
        with self._database.session() as session:
            store.add_audit(session, row)

    def page(self, request: PageRequest, by: str | None = None, q: str | None = None) -> Page[AuditView]:
        """Writes, the newest first: by whom, and with `q` in their path. Raises `Invalid`."""
        with self._database.reading() as session:
            found = store.page_of_audit(session, request, by, q)
            views = [AuditView.model_validate(row[0], from_attributes=True) for row in found.rows]
            return Page(items=views, total=found.total, next=found.next)

    def forget_old(self) -> None:
        """Deletes writes that were kept long enough."""
        before = self._now() - self._kept_for
        forget(self._database, lambda session, limit: store.delete_audit_before(session, before, limit))


class Audit:
    """ASGI middleware. What goes to `open_paths` is no person's write: devices join, and have their own history."""

    def __init__(self, app: ASGIApp, *, service: AuditService, open_paths: tuple[str, ...]) -> None:
        self._app = app
        self._service = service
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _WRITES or self._passes(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        readable = _media_type(request) in _TEXTS
        # Who acts can stand behind a long text: of a form, all is read.
        most = MAX_BODY_BYTES if _media_type(request) == _FORM else 4 * MAX_BODY_CHARACTERS
        body = bytearray()

        async def heard() -> Message:
            message = await receive()
            if readable and len(body) <= most:
                body.extend(message.get("body", b"")[:most])
            return message

        async def told(message: Message) -> None:
            # Before the answer goes out: whoever is told that it was done finds it here.
            shown = scope["path"] in _SHOW and message.get("status") == 200
            if message["type"] == "http.response.start" and message["status"] < 400 and not shown:
                await run_in_threadpool(self._keep, request, message["status"], bytes(body) if readable else None)
            await send(message)

        await self._app(scope, heard, told)

    def _passes(self, path: str) -> bool:
        return path in READS or any(
            path.startswith(one) if one.endswith("/") else path == one for one in self._open_paths
        )

    def _keep(self, request: Request, status: int, body: bytes | None) -> None:
        text = body.decode(errors="replace").replace("\x00", "\ufffd") if body else None
        typed = parse_qs(text).get("by", [""])[0].strip() if text and _media_type(request) == _FORM else ""
        by = request.headers.get("vedette-actor") or typed or request.cookies.get(COOKIE) or OPERATOR
        if text is not None and len(text) > MAX_BODY_CHARACTERS:
            text = text[: MAX_BODY_CHARACTERS - 1] + "…"
        path = request.scope["path"].replace("\x00", "\ufffd")[:500]
        # Not every route reads who acts, and PostgreSQL keeps no NUL: who sends one would not be in the audit.
        by = "".join(one if one.isprintable() else "\ufffd" for one in by[:64])
        try:
            self._service.keep(by, request.method, path, status, text)
        except Exception:
            # It is done, and cannot be undone by not saying so.
            logger.exception("%s %s by %s was done, and is missing in the audit", request.method, path, by)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()
