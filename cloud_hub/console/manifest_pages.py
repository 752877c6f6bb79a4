"""Manifests: texts that are pasted or uploaded, what applying them would change, and the button that does it.

The texts travel with the form, so no error loses them; and what was shown is what is applied, for its mark goes along.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from cloud_hub import problems
from cloud_hub.access.guard import MAX_BODY_BYTES
from cloud_hub.access.once import REQUEST_KEY_REUSED
from cloud_hub.console import actor, words
from cloud_hub.console.manifest_form import PASTED, Sent, sent
from cloud_hub.console.parts import Parts
from cloud_hub.console.render import Renderer
from cloud_hub.console.rollout_fields import shown
from cloud_hub.errors import Conflict, Fault, Faulty, HubError, Invalid, NotFound, Stale, TooLarge
from cloud_hub.manifests.kinds import KINDS
from cloud_hub.manifests.source import MAX_CHARACTERS
from cloud_hub.manifests.views import ApplyView, DifferenceView, DiffView, ManifestFile

_KEY = re.compile(r"[0-9a-f]{16,32}", re.ASCII)
#: What a page can show that is wrong with what was sent.
_REFUSALS = (Invalid, TooLarge, NotFound, Conflict, Stale)


class Manifests:
    """The page."""

    kinds = tuple(KINDS)
    #: So many lines a text has room for, at the least.
    least = 14
    #: Of faults no more are shown: who has corrected these sees the next.
    most_faults = 50
    most_bytes = MAX_BODY_BYTES

    def __init__(self, parts: Parts, given: Sent) -> None:
        self._parts, self._sent = parts, given
        self.again, self.by = given.again, given.by
        self.files = given.files or (ManifestFile(name=PASTED, text=""),)
        self.key = secrets.token_hex(8)
        """Of the next request that applies what is shown: pressed twice, it does it once."""
        self.read, self.beside = given.read, given.beside
        self.failed = given.refused
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
        # No line is found at fault in what is too much to be read, and to number millions takes a minute.
        unread = sum(len(one.text) for one in self.files) > MAX_CHARACTERS
        return self.least if unread else max(self.least, file.text.count("\n") + 1)

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

    @property
    def summary(self) -> str:
        """All of it in a sentence, for who does not see it change."""
        if self.faults:
            return f"{words.plural(len(self.faults), 'thing')} to put right first."
        if self.told is None:
            return ""
        return f"{self.button or 'Nothing would change'}: {words.plural(len(self.told.manifests), 'manifest')}."

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
        view = Manifests(parts, await sent(request))
        return await run_in_threadpool(renderer.page, request, "manifests.html", view=view)

    def carry_out(request: Request, given: Sent) -> Response:
        view, who, done = Manifests(parts, given), "", None
        try:
            who = actor.acting(given.by)
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

    @api.get("/manifests/apply")
    def applied() -> Response:
        # Whoever reloads what was answered there, or keeps its address.
        return RedirectResponse("/manifests", 303)

    @api.post("/manifests/apply")
    async def apply(request: Request) -> Response:
        return await run_in_threadpool(carry_out, request, await sent(request))

    return api


def _where(done: ApplyView) -> str:
    """Where what was applied is seen."""
    started = [one.rollout.id for one in done.manifests if one.rollout is not None and one.outcome != "unchanged"]
    there = started or [one.rollout.id for one in done.manifests if one.rollout is not None]
    if len(there) == 1:
        return f"/rollouts/{there[0]}"
    return "/rollouts" if there else "/cohorts"
