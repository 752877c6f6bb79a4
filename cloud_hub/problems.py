"""Every error of the API as RFC 9457 problem+json. The only file that knows what HTTP status an error has."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException

from cloud_hub import errors
from fleet_contract.errors import ContractError, VedetteError
from provisioning.pki import RequestWrong

logger = logging.getLogger(__name__)

_STATUSES: dict[type[VedetteError], HTTPStatus] = {
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Stale: HTTPStatus.PRECONDITION_FAILED,
    errors.Malformed: HTTPStatus.BAD_REQUEST,
    errors.Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ContractError: HTTPStatus.UNPROCESSABLE_ENTITY,
    RequestWrong: HTTPStatus.UNPROCESSABLE_ENTITY,
}


class FaultView(BaseModel):
    """One thing that is wrong with a request. `where` is the field; of a manifest, `line` and `column` of `file` are
    its place, from 1, and `excerpt` is that line."""

    where: str
    what: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None


class Problem(BaseModel):
    """An error. `code` is stable and for programs; `detail` and `remedy` are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    errors: list[FaultView] | None = Field(default=None, description="With status 422: each fault of the request")
    incident: str | None = Field(default=None, description="With status 500: what to look for in the hub's log")


_DOCUMENTED = {"model": Problem, "description": "A problem (RFC 9457), as application/problem+json"}
#: How routes say in OpenAPI what their errors look like.
DOCUMENTED: dict[int | str, dict[str, Any]] = {"default": _DOCUMENTED, 422: _DOCUMENTED}
#: An answer of another media type than problem+json, for those who asked for one (the console's pages).
Renderer = Callable[[Request, dict[str, Any]], Response | None]


def status_of(error: VedetteError) -> HTTPStatus:
    """The HTTP status that `error` is answered with."""
    for kind in type(error).__mro__:
        if kind in _STATUSES:
            return _STATUSES[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem(error: VedetteError) -> dict[str, Any]:
    """The problem document of `error`: type, title, status, detail, code and remedy; and each of several faults."""
    status = status_of(error)
    document: dict[str, Any] = {
        "type": f"urn:vedette:problem:{error.code}",
        "title": status.phrase,
        "status": status.value,
        "detail": error.what,
        "code": error.code,
        "remedy": error.remedy,
    }
    if isinstance(error, errors.Faulty):
        document["errors"] = [asdict(fault) for fault in error.faults]
    return document


def install(app: FastAPI, renderer: Renderer | None = None) -> Callable[[Request, VedetteError], Response]:
    """Makes `app` answer every error as a problem; `renderer` may answer some requests in its own way (else None).

    Gives the function that answers an error of ours, for those who stand before the app.
    """

    def answer(request: Request, document: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
        rendered = renderer(request, document) if renderer else None
        if rendered is not None:
            return rendered
        return JSONResponse(document, document["status"], headers, media_type="application/problem+json")

    @app.exception_handler(VedetteError)
    def _ours(request: Request, error: VedetteError) -> Response:
        if status_of(error) is HTTPStatus.INTERNAL_SERVER_ERROR:
            return _unforeseen(request, error)
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, errors.Unauthorized) else None
        return answer(request, problem(error), headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        # A list of which an item is wrong is also told to be too short, which nobody can act on.
        outer = {one["loc"][:end] for one in error.errors() for end in range(len(one["loc"]))}
        faults = [
            {"where": ".".join(str(part) for part in one["loc"]), "what": one["msg"].removeprefix("Value error, ")}
            for one in error.errors()
            if one["loc"] not in outer
        ]
        what = "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults)
        invalid = errors.Invalid(f"The request is not as it should be: {what}.", "See /api/v1/openapi.json.")
        return answer(request, problem(invalid) | {"errors": faults})

    @app.exception_handler(OverflowError)
    @app.exception_handler(DataError)
    def _unstorable(request: Request, error: DataError | OverflowError) -> Response:
        # PostgreSQL finds a NUL in a text and a number that is too large, SQLite's driver the latter.
        logger.info("%s %s brought what cannot be stored: %s", request.method, request.url.path, error)
        return answer(request, problem(errors.Invalid("The request holds a value that no database can hold.")))

    @app.exception_handler(OperationalError)
    def _database(request: Request, error: OperationalError) -> Response:
        logger.error("%s %s failed for the database: %s", request.method, request.url.path, error.orig)
        # SQLITE_FULL and PostgreSQL's disk_full (53100) alike.
        if "disk is full" in str(error.orig) or "No space left on device" in str(error.orig):
            full = errors.DiskFull("The database has no room left.", "Make room on its disk; nothing was changed.")
            return answer(request, problem(full))
        away = errors.Unavailable(
            f"The database does not answer: {error.orig}.",
            "Try again; if it lasts, see to the database.",
            code="database-unavailable",
        )
        return answer(request, problem(away))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        code = status.phrase.lower().replace(" ", "-")
        document = {
            "type": f"urn:vedette:problem:{code}",
            "title": status.phrase,
            "status": status.value,
            "detail": f"{request.method} {request.url.path}: {status.description or error.detail}.",
            "code": code,
            "remedy": "See /api/v1/openapi.json for what there is.",
        }
        return answer(request, document, dict(error.headers or {}))

    @app.exception_handler(Exception)
    def _unforeseen(request: Request, error: Exception) -> Response:
        incident = secrets.token_hex(6)
        logger.error("Incident %s: %s %s failed", incident, request.method, request.url.path, exc_info=error)
        document = {
            "type": "urn:vedette:problem:internal",
            "title": HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
            "status": HTTPStatus.INTERNAL_SERVER_ERROR.value,
            "detail": f"The hub failed on this request; its log names the incident {incident}.",
            "code": "internal",
            "remedy": "Look the incident up in the hub's log, and report it with what is there.",
            "incident": incident,
        }
        return answer(request, document)

    return _ours
