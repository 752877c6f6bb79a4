"""Static files under names that carry their content's hash, so that a browser may keep them for ever."""

import json
import mimetypes
from pathlib import Path

from fastapi import APIRouter, Request, Response

from cloud_hub.console.build import DIST, HERE, MANIFEST
from cloud_hub.errors import CannotStart, NotFound

PREFIX = "/static"
_FOREVER = "public, max-age=31536000, immutable"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


class Assets:
    """What `build` made, read into memory once: some 150 kB. Raises `CannotStart` when nothing was built."""

    def __init__(self, dist: Path = HERE / DIST) -> None:
        try:
            self._names: dict[str, str] = json.loads((dist / MANIFEST).read_text())["files"]
        except FileNotFoundError as error:
            raise CannotStart(
                f"The console's assets are not built: {dist} is empty.",
                "Run `python -m cloud_hub.console.build`, or install Vedette again.",
                code="assets-missing",
            ) from error
        self._plain = {name: (dist / name).read_bytes() for name in self._names.values()}
        self._gzip = {name: (dist / f"{name}.gz").read_bytes() for name in self._names.values()}

    def url(self, name: str) -> str:
        """The address of an asset by its plain name, such as "console.css". Raises KeyError for an unknown one."""
        return f"{PREFIX}/{self._names[name]}"

    def respond(self, name: str, accepts_gzip: bool) -> Response:
        """The file called `name` in the address. Raises `NotFound`."""
        if name not in self._plain:
            raise NotFound(f"There is no file {name!r} in this version of the console.", "Load the page again.")
        kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
        if accepts_gzip:
            return Response(self._gzip[name], media_type=kind, headers=headers | {"Content-Encoding": "gzip"})
        return Response(self._plain[name], media_type=kind, headers=headers)


def takes_gzip(request: Request) -> bool:
    """Whether the caller can read gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")


def router(assets: Assets) -> APIRouter:
    """`/static/NAME` and the icon that browsers ask for by themselves."""
    api = APIRouter(include_in_schema=False)

    @api.get(PREFIX + "/{name}")
    def static(request: Request, name: str) -> Response:
        return assets.respond(name, takes_gzip(request))

    @api.get("/favicon.ico")
    def favicon(request: Request) -> Response:
        return assets.respond(assets.url("favicon.svg").rpartition("/")[2], takes_gzip(request))

    return api
