"""True labels that arrive late: a CSV that is pasted or chosen, what it adds to which version, and the button."""

import re
from collections.abc import Mapping
from functools import cached_property

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from starlette.datastructures import UploadFile

from cloud_hub import problems
from cloud_hub.access.guard import MAX_BODY_BYTES
from cloud_hub.console import actor, label_form
from cloud_hub.console.label_form import OfVersion, Wrong
from cloud_hub.console.parts import Parts
from cloud_hub.console.render import Renderer
from cloud_hub.errors import Conflict, HubError, Invalid, NotFound, Stale, TooLarge
from cloud_hub.monitoring.views import LabelsIn
from cloud_hub.page import PageRequest

#: More than so many rows at their longest have.
MAX_CHARACTERS = 512 * 1024
_REFUSALS = (Invalid, NotFound, Conflict, TooLarge)
_BREAK = re.compile("\r\n?")
_COUNT = re.compile(r"[0-9]{1,4}", re.ASCII)


class Labels:
    """The page."""

    columns = ",".join(label_form.COLUMNS)
    most_bytes = MAX_BODY_BYTES
    most_wrong = 50

    def __init__(self, parts: Parts, given: Mapping[str, str], refused: HubError | None = None) -> None:
        self._parts = parts
        self.model, self.text, self.by = given.get("model", ""), given.get("text", ""), given.get("by", "")
        self.counted, self.repeated = (
            int(given[name]) if _COUNT.fullmatch(given.get(name, "")) else 0 for name in ("counted", "repeated")
        )
        self._seen, self.refused = given.get("seen", ""), refused

    @cached_property
    def models(self) -> list[str]:
        return [model.name for model in self._parts.releases.models(PageRequest(limit=500)).items]

    @cached_property
    def _read(self) -> LabelsIn | list[Wrong]:
        return label_form.read(self.text) if self.text.strip() else []

    @property
    def said(self) -> LabelsIn | None:
        return self._read if isinstance(self._read, LabelsIn) else None

    @property
    def wrong(self) -> list[Wrong]:
        return self._read if isinstance(self._read, list) else []

    @property
    def mark(self) -> str:
        """Of what is shown: what is counted is that, and nothing else."""
        return label_form.key(self.model, self.text)

    @property
    def by_version(self) -> list[OfVersion]:
        return label_form.by_version(self.said) if self.said else []

    def count(self, by: str) -> str | None:
        """Counts them, and gives where that is told; None where it was not done, which the page then tells."""
        if self.said is None:
            return None
        if self._seen != self.mark:
            # It cannot be taken back.
            self.refused = Stale(
                "Nothing was counted: these are other rows, or of another model, than what was shown.",
                "Look at what would be counted, and decide again.",
            )
            return None
        try:
            told = self._parts.labels.take(self.model, self.said, self.mark, by)
        except _REFUSALS as error:
            self.refused = error
            return None
        return f"/labels?model={self.model}&counted={told.counted}&repeated={told.repeated}"


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/labels`, and what its form posts to."""
    api = APIRouter()

    @api.get("/labels")
    def empty(request: Request) -> Response:
        return renderer.page(request, "labels.html", view=Labels(parts, request.query_params))

    @api.post("/labels")
    async def show(request: Request) -> Response:
        # With status 200 whatever is wrong: it was asked what would be.
        given, refused = await _given(request)
        return await run_in_threadpool(renderer.page, request, "labels.html", view=Labels(parts, given, refused))

    def count(request: Request, given: Mapping[str, str]) -> Response:
        view, who, done = Labels(parts, given), "", None
        try:
            who = actor.acting(view.by)
            done = view.count(who)
        except Invalid as error:
            view.refused = error
        if done is None:
            status = problems.status_of(view.refused) if view.refused else 422
            return renderer.whole(request, "labels.html", status=status, view=view)
        response = RedirectResponse(done, 303)
        actor.remember(request, response, who)
        return response

    @api.get("/labels/count")
    def counted() -> Response:
        # Whoever reloads what was answered there, or keeps its address.
        return RedirectResponse("/labels", 303)

    @api.post("/labels/count")
    async def post(request: Request) -> Response:
        given, _ = await _given(request)
        return await run_in_threadpool(count, request, given)

    return api


async def _given(request: Request) -> tuple[dict[str, str], HubError | None]:
    """What is typed, or the text of the file that is chosen; and what is wrong with that."""
    form = await request.form(max_part_size=MAX_BODY_BYTES)
    given = {name: value for name, value in form.items() if isinstance(value, str)}
    # Forms send their lines' ends as in mail.
    given["text"] = _BREAK.sub("\n", given.get("text", "")).removeprefix("\ufeff")
    upload = form.get("upload")
    if not isinstance(upload, UploadFile) or not upload.filename:
        return given, None
    if (upload.size or 0) > MAX_CHARACTERS:
        what = f"{upload.filename} has {upload.size:,} bytes, and {MAX_CHARACTERS:,} are taken at once."
        return given, TooLarge(what, "Split it.", code="labels-too-large")
    try:
        given["text"] = _BREAK.sub("\n", (await upload.read()).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return given, Invalid(f"{upload.filename} is no text: {error}.", "Save it as CSV in UTF-8.")
    return given, None
