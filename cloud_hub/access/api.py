"""Joining and the audit over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from cloud_hub.access.audit import AuditService
from cloud_hub.access.joining import JoinService
from cloud_hub.access.once import keyed
from cloud_hub.access.request_key import RequestKeyHeader
from cloud_hub.access.views import AuditView, TokenOrder, TokenView
from cloud_hub.errors import Invalid
from cloud_hub.page import Page, PageQuery
from fleet_contract.encoding import decode
from fleet_contract.join import JoinRequest

_TEXT = {"type": "string"}
_JOIN_REQUEST: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["secret", "certificate_request", "target", "agent_version", "inventory"],
                "properties": {
                    "secret": _TEXT,
                    "certificate_request": {"type": "string", "description": "PKCS#10 in PEM"},
                    "target": _TEXT,
                    "agent_version": _TEXT,
                    "inventory": {"type": "object"},
                },
            }
        }
    },
}


def audit_router(audit: AuditService) -> APIRouter:
    """The route /audit."""
    routes = APIRouter(tags=["audit"])

    @routes.get("/audit", summary="List who wrote what, newest first")
    def list_audit(
        page: PageQuery,
        by: Annotated[str | None, Query(description="By this person", max_length=64)] = None,
        q: Annotated[str | None, Query(description="With this in the path", max_length=200)] = None,
    ) -> Page[AuditView]:
        return audit.page(page, by, q)

    return routes


def router(joining: JoinService) -> APIRouter:
    """The routes /devices/tokens and /join."""
    routes = APIRouter(tags=["joining"])

    @routes.post("/devices/tokens", summary="Make a join token", status_code=201)
    def make_token(order: TokenOrder, key: RequestKeyHeader = None) -> TokenView:
        """It works once, for one device. The token is shown now, to the same request if that is sent again, and never
        after."""
        return joining.make_token(
            order.device, order.target, order.labels, order.expires_in_seconds, keyed(key, "devices/tokens", order)
        )

    @routes.post("/join", summary="Join the fleet", openapi_extra={"requestBody": _JOIN_REQUEST})
    async def join(request: Request) -> Response:
        """For devices: a token's secret and a certificate request bring a signed identity. Needs no API token."""
        body = await request.body()
        if b"\\u0000" in body:
            raise Invalid("The request holds a NUL character, which no text of a device has.", code="join-wrong")
        asked = decode(body, JoinRequest)
        answer = await run_in_threadpool(joining.join, asked)
        return Response(answer, media_type="application/json")

    return routes
