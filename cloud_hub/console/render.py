"""Pages from templates: whole, or the one fragment that changed; with the headers that keep them safe."""

import gzip
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cloud_hub.console import words
from cloud_hub.console.actor import remembered
from cloud_hub.console.assets import Assets, takes_gzip
from cloud_hub.errors import NotFound
from cloud_hub.rollouts.pinned import is_pin
from cloud_hub.rollouts.views import FreezeView

#: Nothing inline, nothing from elsewhere, no eval, no frames.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept-Encoding",
}
#: Below this, gzip costs more than it saves.
_WORTH_COMPRESSING = 500
#: Where each leads, what it is called, and the paths below which one is still there.
_NAV = (
    ("/", "Fleet", ()),
    ("/devices", "Devices", ("/devices", "/cohorts", "/pins", "/join")),
    ("/models", "Models", ("/models", "/labels")),
    ("/rollouts", "Rollouts", ("/rollouts", "/manifests")),
    ("/lake", "Lake", ("/lake",)),
)


class Renderer:
    """Turns a template and what it shows into a response. `now` is the clock that relative times are told by."""

    def __init__(
        self,
        assets: Assets,
        fleet: str,
        version: str,
        now: Callable[[], datetime],
        freeze: Callable[[], FreezeView],
        *,
        signed_in: bool = False,
    ) -> None:
        self._now = now
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {name: getattr(words, name) for name in words.FILTERS}
        self._environment.filters |= {"when": self._when, "json": _json, "marked": marked}
        self._environment.tests["pin"] = is_pin
        self._environment.globals |= {
            "asset": assets.url, "fleet": fleet, "version": version, "nav": _NAV,
            "signed_in": signed_in, "freeze": freeze,
        }  # fmt: skip
        # As a global, so that it is there too when only one block of a page is rendered.
        self._environment.globals["p"] = self._environment.get_template("parts.html").module

    def page(
        self, request: Request, name: str, *, status: int = 200, part: str | None = None, **shown: Any
    ) -> Response:
        """The page `name`, or with `?part=BLOCK` only that block of it: `part` says one for whatever was asked for.
        Raises `NotFound` for an unknown block."""
        part = part or request.query_params.get("part")
        if part is None:
            return self.whole(request, name, status=status, **shown)
        template = self._environment.get_template(name)
        address = _Address(request)
        context = template.new_context(_about(request, address) | shown)
        if part not in template.blocks or part in ("title", "main"):
            raise NotFound(f"This page has no part {part!r}.", "Load the page again.")
        response = respond(request, "".join(template.blocks[part](context)), status)
        if request.headers.get("HX-Source", "").startswith("form"):
            # What a form narrowed down is a place that can be kept, sent and returned to.
            response.headers["HX-Replace-Url"] = address.link()
        return response

    def whole(self, request: Request, name: str, *, status: int = 200, **shown: Any) -> Response:
        """The page `name`, whatever part of it was asked for."""
        template = self._environment.get_template(name)
        return respond(request, template.render(_about(request, _Address(request)) | shown), status)

    def _when(self, then: datetime | None) -> Markup:
        if then is None:
            return Markup('<span class="muted">never</span>')
        return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
            then.isoformat(), words.absolute(then), words.ago(then, self._now())
        )


class _Address:
    """The address of the page, and those that differ from it in a parameter."""

    def __init__(self, request: Request) -> None:
        self._path = request.url.path
        self._query = [(key, value) for key, value in request.query_params.multi_items() if value and key != "part"]

    def link(self, **changed: str | int | None) -> str:
        """This page's address with these parameters set, or left out where None."""
        kept = [(key, value) for key, value in self._query if key not in changed]
        query = urlencode(kept + [(key, str(value)) for key, value in changed.items() if value is not None])
        return f"{self._path}?{query}" if query else self._path

    def live(self, part: str, *subjects: str, every_ms: int = 1000) -> Markup:
        """The attributes of a fragment that is fetched again when one of `subjects` changes."""
        return Markup('data-live="{}" data-every="{}" hx-get="{}" hx-trigger="refresh" hx-swap="outerMorph"').format(
            " ".join(subjects), every_ms, self.link(part=part)
        )


def _about(request: Request, address: _Address) -> dict[str, Any]:
    return {"path": request.url.path, "live": address.live, "link": address.link, "actor": remembered(request)}


def respond(request: Request, text: str, status: int = 200) -> Response:
    """`text` as HTML, compressed where that is worth it."""
    body = text.encode()
    if len(body) < _WORTH_COMPRESSING or not takes_gzip(request):
        return HTMLResponse(body, status, headers=HEADERS)
    return HTMLResponse(gzip.compress(body, 6, mtime=0), status, headers=HEADERS | {"Content-Encoding": "gzip"})


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def marked(text: str) -> Markup:
    """`text` with what stands between backticks as code."""
    parts = [
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)
