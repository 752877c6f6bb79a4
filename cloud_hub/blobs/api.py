"""Blobs over HTTP: uploads for those who may write, downloads for whoever has a URL."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated

import anyio
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect

from cloud_hub.blobs.byte_range import Unsatisfiable, parse_range
from cloud_hub.blobs.capability import Capabilities
from cloud_hub.blobs.store import Blobs, check_digest, unknown
from cloud_hub.errors import Invalid, TooLarge
from fleet_contract.manifest import Blob

#: Uploads hold a thread for as long as their sender takes, so they have some of their own.
_UPLOADS_AT_ONCE = 8


class BlobView(BaseModel):
    """A blob that is safe."""

    model_config = ConfigDict(frozen=True)

    digest: str
    size_bytes: int


def router(blobs: Blobs, max_blob_bytes: int) -> APIRouter:
    """The route under /api/v1/blobs."""
    routes = APIRouter(tags=["blobs"])
    limiter = anyio.CapacityLimiter(_UPLOADS_AT_ONCE)

    @routes.put("/blobs/{digest}", summary="Upload a blob", status_code=201)
    async def upload(digest: str, request: Request) -> BlobView:
        """The body is the blob itself. It is kept only if it has the digest; the same blob again changes nothing."""
        check_digest(digest)
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > max_blob_bytes:
            raise TooLarge(f"This blob has {length} bytes, and {max_blob_bytes} are the most.", code="blob-too-large")
        stream = aiter(request.stream())

        def put() -> Blob:
            return blobs.put(digest, iter(lambda: anyio.from_thread.run(_next, stream), None))

        try:
            blob = await anyio.to_thread.run_sync(put, limiter=limiter)
        except ClientDisconnect as error:
            raise Invalid("The upload was cut off.", "Send it again.", code="upload-cut") from error
        return BlobView(digest=blob.digest, size_bytes=blob.size_bytes)

    return routes


def downloads(blobs: Blobs, capabilities: Capabilities, now: Callable[[], datetime]) -> APIRouter:
    """The route /blobs, for URLs that `Blobs.url` made."""
    routes = APIRouter(tags=["blobs"])

    @routes.head("/blobs/{digest}", include_in_schema=False)
    @routes.get("/blobs/{digest}", summary="Download a blob", response_class=Response)
    def download(
        digest: str,
        request: Request,
        expires: Annotated[int, Query(description="Unix time")],
        signature: Annotated[str, Query(description="From the hub")],
    ) -> Response:
        """Takes Range and If-Range, so that a download that broke off goes on where it was."""
        capabilities.check(digest, expires, signature, now())
        size = blobs.size(digest)
        if size is None:
            raise unknown(digest)
        etag = f'"{digest}"'
        headers = {
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, max-age=31536000, immutable",
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
        }
        if etag in (one.strip() for one in request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        wanted = request.headers.get("range")
        if request.headers.get("if-range", etag) != etag:
            wanted = None
        try:
            span = parse_range(wanted, size)
        except Unsatisfiable:
            return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
        start, end = span or (0, size)
        headers["Content-Length"] = str(end - start)
        if span:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        status = 206 if span else 200
        media_type = "application/octet-stream"
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=media_type)
        return StreamingResponse(blobs.read(digest, start, end), status, headers, media_type)

    return routes


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)
