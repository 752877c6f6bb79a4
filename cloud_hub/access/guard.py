"""Stands before the whole app: whose requests come in, from which pages, and how large they may be."""

import hmac
from collections.abc import Callable, Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import SplitResult, urlsplit

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_hub.access.sessions import COOKIE, Sessions
from cloud_hub.errors import Forbidden, TooLarge, Unauthorized
from fleet_contract.errors import VedetteError

#: The most that a body may have, other than a blob's.
MAX_BODY_BYTES = 8 * 1024 * 1024
#: The same of a form that brings files along: what is too much of them its page says itself, and keeps what is typed.
MAX_FILES_BYTES = 64 * 1024 * 1024
#: What needs no API token: devices bring a join token or a capability, and `/healthz` tells nothing.
OPEN_PATHS = ("/api/v1/join", "/blobs/", "/healthz")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_BLOBS = "/api/v1/blobs/"
_FILES = frozenset({"/manifests", "/labels"})


class Guard:
    """ASGI middleware. `sessions` is None when no API token is set; then `hosts` are the names that we answer to."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        sessions: Sessions | None,
        hosts: Collection[str],
        open_paths: tuple[str, ...],
        answer: Callable[[Request, VedetteError], Response],
    ) -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._sessions = sessions
        self._hosts = frozenset(hosts)
        self._open_paths = (*OPEN_PATHS, *open_paths)
        self._answer = answer

    # Paths are taken from the scope, as routing does: `request.url` is put together with what the client calls us.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check_host(request)
            self._check_origin(request)
            self._check_token(request)
            self._check_length(request)
        except VedetteError as error:
            await self._answer(request, error)(scope, receive, send)
            return
        if (most := _most_bytes(request)) is not None:
            receive = _limited(receive, most)
        await self._app(scope, receive, send)

    def _check_host(self, request: Request) -> None:
        # A page of any site can have its own name point to 127.0.0.1, and would then be of our origin. With a token
        # that is no danger, since its cookie and header belong to the true name.
        if self._token is not None:
            return
        host = _split(f"//{request.headers.get('host', '')}").hostname or ""
        if host not in self._hosts:
            raise Forbidden(
                f"This hub does not answer to the name {host!r}.",
                "Use its own address, or set --public-url to the one that you use.",
                code="host-unknown",
            )

    def _check_origin(self, request: Request) -> None:
        if request.method in _READS:
            return
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        own = origin is None or _split(origin).netloc == request.headers.get("host")
        if not own or site not in (None, "same-origin", "none"):
            raise Forbidden(
                f"A page of {origin or 'another site'} sent this request, and not the console.",
                "Use the console, the command line or the API itself.",
                code="origin-foreign",
            )

    def _check_token(self, request: Request) -> None:
        if self._token is None or self._is_open(request.scope["path"]):
            return
        kind, _, offered = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(offered.strip().encode(), self._token):
            return
        if self._sessions is not None and self._sessions.holds(_cookie(request)):
            return
        raise Unauthorized(
            "This hub has an API token, and the request brings none, or another.",
            "Send it as `Authorization: Bearer TOKEN`; the command line takes it from VEDETTE_API_TOKEN.",
        )

    def _is_open(self, path: str) -> bool:
        return any(path.startswith(one) if one.endswith("/") else path == one for one in self._open_paths)

    def _check_length(self, request: Request) -> None:
        length = request.headers.get("content-length", "0")
        most = _most_bytes(request)
        if most is not None and length.isdecimal() and int(length) > most:
            raise _too_large(most)


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        # "http://[x": the name of nobody.
        return urlsplit("")


def _cookie(request: Request) -> str | None:
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _most_bytes(request: Request) -> int | None:
    """How much its body may have; None where what it is put into says that."""
    path = request.scope["path"]
    if path.startswith(_BLOBS):
        return None
    return MAX_FILES_BYTES if path in _FILES else MAX_BODY_BYTES


def _limited(receive: Receive, most: int) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise _too_large(most)
        return message

    return limited


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The request's body has more than {most} bytes.", code="body-too-large")
