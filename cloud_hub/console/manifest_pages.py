"""Manifests: texts that are pasted or uploaded, what applying them would change, and the button that does it.

The texts travel with the form, so no error loses them; and what was shown is what is applied, for its mark goes along.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from starlette.datastructures import UploadFile

from cloud_hub import problems
from cloud_hub.access.guard import MAX_BODY_BYTES
from cloud_hub.access.once import REQUEST_KEY_REUSED
from cloud_hub.console import actor, words
from cloud_hub.console.parts import Parts
from cloud_hub.console.render import Renderer
from cloud_hub.console.rollout_fields import shown
from cloud_hub.errors import Conflict, Fault, Faulty, HubError, Invalid, NotFound, Stale, TooLarge
from cloud_hub.manifests.kinds import KINDS
from cloud_hub.manifests.source import MAX_CHARACTERS
from cloud_hub.manifests.views import ApplyView, DifferenceView, DiffView, ManifestFile

PASTED = "manifest.yaml"
_KEY = re.compile(r"[0-9a-f]{16,32}", re.ASCII)
_NO_NAME = re.compile(r"[\x00-\x1f\x7f]+")
#: What a page can show that is wrong with what was sent.
_REFUSALS = (Invalid, TooLarge, NotFound, Conflict, Stale)


@dataclass(frozen=True)
class Sent:
    """What came with the form: texts with their names, and how they are to be applied."""

    files: tuple[ManifestFile, ...] = ()
    again: bool = False
    by: str = ""
    key: str = ""
    seen: str = ""
    refused: HubError | None = None


class Manifests:
    """The page."""

    kinds = tuple(KINDS)
    #: So many lines a text has room for, at the least.
    least = 14
    #: Of faults no more are shown: who has corrected these sees the next.
    most_faults = 50

    def __init__(self, parts: Parts, sent: Sent) -> None:
        self._parts, self._sent = parts, sent
        self.again, self.by = sent.again, sent.by
        self.files = sent.files or (ManifestFile(name=PASTED, text=""),)
        self.key = secrets.token_hex(8)
        """Of the next request that applies what is shown: pressed twice, it does it once."""
        self.failed = sent.refused
        """Why it was not applied, or not even read."""

    @cached_property
    def _compared(self) -> DiffView | HubError | None:
        if not self._sent.files:
            return None
        try:
            return self._parts.manifests.diff(self._sent.files, again=self.again)
        except _REFUSALS as error:
            return error

    @property
    def told(self) -> DiffView | None:
        return self._compared if isinstance(self._compared, DiffView) and not self.faults else None

    @property
    def refused(self) -> HubError | None:
        """What is wrong, beside the faults at their lines."""
        errors = (self.failed, self._compared)
        return next((one for one in errors if isinstance(one, HubError) and not isinstance(one, Faulty)), None)

    @property
    def faults(self) -> tuple[Fault, ...]:
        return next((one.faults for one in (self._compared, self.failed) if isinstance(one, Faulty)), ())

    def place_of(self, fault: Fault) -> int:
        """Which text `fault` is in, from 0."""
        return next((index for index, file in enumerate(self.files) if file.name == fault.file), 0)

    def wrong_lines(self, file: ManifestFile) -> frozenset[int]:
        return frozenset(fault.line for fault in self.faults if fault.file == file.name)

    @staticmethod
    def pointer(fault: Fault) -> str:
        """What points at its column, where its excerpt reaches so far."""
        return f"{' ' * (fault.column - 1)}^" if fault.column <= len(fault.excerpt) + 1 else ""

    def lines(self, file: ManifestFile) -> int:
        return max(self.least, file.text.count("\n") + 1)

    @property
    def starting(self) -> Sequence[DifferenceView]:
        """Manifests that start a rollout."""
        return self._doing("Rollout")

    @property
    def saving(self) -> Sequence[DifferenceView]:
        """Manifests that save a cohort."""
        return self._doing("Cohort")

    @property
    def button(self) -> str:
        """What it does that is to be pressed; nothing when nothing would change."""
        doing = []
        if self.saving:
            doing.append(f"save {words.plural(len(self.saving), 'cohort')}")
        if self.starting:
            doing.append(f"start {words.plural(len(self.starting), 'rollout')}")
        return " and ".join(doing).capitalize()

    @staticmethod
    def value(value: object) -> str:
        """A value of a field, as people read it."""
        if isinstance(value, Mapping):
            return (
                ", ".join(f"{name.replace('_', ' ')} {shown(one)}" for name, one in value.items() if one is not None)
                or "on"
            )
        return shown(value) or ("off" if value is False else "none")

    def apply(self, by: str) -> ApplyView | None:
        """Does what was shown; None where it was not done, which the page then tells."""
        key = f"console-{self._sent.key}" if _KEY.fullmatch(self._sent.key) else None
        try:
            return self._parts.manifests.apply(
                self._sent.files, by, again=self.again, key=key, seen=self._sent.seen or "none"
            )
        except _REFUSALS as error:
            self.failed = error
            if error.code == REQUEST_KEY_REUSED:
                # Whoever goes back and changes something has a page of before.
                self.failed = Stale(
                    "What this page showed is applied already, and what it asks for now was not shown.",
                    "Look at what would change now, and decide again.",
                )
            return None

    def _doing(self, kind: str) -> list[DifferenceView]:
        of_kind = [one for one in self.told.manifests if one.kind == kind] if self.told else []
        return [one for one in of_kind if one.change != "none" or (self.again and kind == "Rollout")]


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/manifests`, and what its form posts to."""
    api = APIRouter()

    @api.get("/manifests")
    def empty(request: Request) -> Response:
        return renderer.page(request, "manifests.html", view=Manifests(parts, Sent()))

    @api.post("/manifests")
    async def show(request: Request) -> Response:
        # With status 200 whatever is wrong: it was asked what would be.
        view = Manifests(parts, await _sent(request))
        return await run_in_threadpool(renderer.page, request, "manifests.html", view=view)

    def carry_out(request: Request, sent: Sent) -> Response:
        view, who, done = Manifests(parts, sent), "", None
        try:
            who = actor.acting(sent.by)
        except Invalid as error:
            view.failed = error
        if view.failed is None:
            done = view.apply(who)
        if done is None:
            assert view.failed is not None
            return renderer.whole(request, "manifests.html", status=problems.status_of(view.failed), view=view)
        response = RedirectResponse(_where(done), 303)
        actor.remember(request, response, who)
        return response

    @api.post("/manifests/apply")
    async def apply(request: Request) -> Response:
        return await run_in_threadpool(carry_out, request, await _sent(request))

    return api


async def _sent(request: Request) -> Sent:
    """Texts that are blank are none; a file that is uploaded again takes the place of what came before."""
    # Whatever comes in at all: what is pasted is shown again, also when it is too much.
    form = await request.form(max_part_size=MAX_BODY_BYTES)
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    without = texts.get("without", "")
    files: dict[str, str] = {}
    for index, (name, text) in enumerate(zip(_texts(form.getlist("name")), _texts(form.getlist("text")), strict=False)):
        # Forms send their lines' ends as in mail.
        if text.strip() and str(index) != without:
            files[_named(name)] = text.replace("\r\n", "\n")
    refused: HubError | None = None
    for upload in form.getlist("upload"):
        if not isinstance(upload, UploadFile) or not upload.filename:
            continue
        try:
            files[_named(upload.filename)] = _read(upload.filename, await upload.read())
        except (Invalid, TooLarge) as error:
            refused = error
    sent = Sent(tuple(ManifestFile(name=name, text=text) for name, text in files.items()), refused=refused)
    again, by, key, seen = "again" in texts, texts.get("by", ""), texts.get("key", ""), texts.get("seen", "")
    return replace(sent, again=again, by=by, key=key, seen=seen)


def _read(name: str, data: bytes) -> str:
    """Raises `Invalid`, `TooLarge`."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{name} is no text: {error}.", "Save it as YAML in UTF-8.", code="manifest-unreadable"
        ) from error
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(
            f"{name} has {len(text):,} characters, and {MAX_CHARACTERS:,} are taken at once.",
            "Choose a smaller file.",
            code="manifests-too-large",
        )
    return text


def _texts(values: Sequence[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _named(name: str) -> str:
    return _NO_NAME.sub(" ", name).strip()[:200] or PASTED


def _where(done: ApplyView) -> str:
    """Where what was applied is seen."""
    started = [one.rollout.id for one in done.manifests if one.rollout is not None and one.outcome != "unchanged"]
    there = started or [one.rollout.id for one in done.manifests if one.rollout is not None]
    if len(there) == 1:
        return f"/rollouts/{there[0]}"
    return "/rollouts" if there else "/cohorts"
