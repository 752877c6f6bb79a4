"""Errors for people: a page where a browser asked for one, problem+json for everyone else."""

from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from cloud_hub.console.render import Renderer

_TITLES = {404: "There is nothing here", 500: "The hub failed", 503: "Not now"}


class ProblemPage:
    """What `problems.install` asks first."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def __call__(self, request: Request, problem: dict[str, Any]) -> Response | None:
        """The page that shows `problem`, or None when this caller does not read HTML."""
        path, status = request.url.path, problem["status"]
        if path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
            return None
        if status == 401 and request.headers.get("HX-Request") is None:
            to = path if not request.url.query else f"{path}?{request.url.query}"
            return RedirectResponse(f"/login?to={quote(to if request.method == 'GET' else '/')}", 303)
        shown = {
            "title": _TITLES.get(status, problem["title"]),
            "what": problem["detail"],
            "remedy": "" if status == 404 and problem["code"] == "not-found" else problem["remedy"],
            "code": problem["code"],
        }
        return self._renderer.whole(request, "error.html", status=status, number=status, **shown)
