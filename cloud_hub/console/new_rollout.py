"""The form that starts a rollout: what is typed, what is wrong with it, and what exactly would happen.

Everything typed is in the address or in the form, so nothing is lost by an error; and what a preview shows is what
then happens, for its salt goes with it.
"""

import hashlib
import secrets
from collections.abc import Mapping
from functools import cached_property

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from cloud_hub.access.once import RequestKey
from cloud_hub.console import actor, words
from cloud_hub.console.overview import UNDER_WAY
from cloud_hub.console.parts import Parts
from cloud_hub.console.render import Renderer
from cloud_hub.console.rollout_fields import FIELDS, SECTIONS, Section
from cloud_hub.console.rollout_form import Fault, asked, at_first
from cloud_hub.errors import Conflict, HubError, Invalid, NotFound, Stale
from cloud_hub.page import PageRequest
from cloud_hub.releases.views import VersionView
from cloud_hub.rollouts.origin import Origin
from cloud_hub.rollouts.views import PreviewView, RolloutIn, RolloutView

_VERSIONS_SHOWN = 100
_DEVICES_SHOWN = 24
_SLOTS = ("default", "shadow")


class NewRollout:
    """The page. What is not given is as in the default policy."""

    sections = SECTIONS

    def __init__(self, parts: Parts, given: Mapping[str, str]) -> None:
        self._parts, self._given = parts, given
        first = at_first()
        self.typed = {name: given.get(name, "" if "salt" in given else first[name]) for name in FIELDS}
        self.model = given.get("model", "").strip()
        self.slot = given.get("slot") if given.get("slot") in _SLOTS else "default"
        self.salt = _salt(given.get("salt", ""))
        self.by = given.get("by", "")
        self.fits = given.get("of", self.model) == self.model
        """Whether the form's other fields are of this model: its versions are others than those of the model before."""
        self.started: HubError | None = None
        """What was wrong when it was to be started, if anything was."""

    @cached_property
    def models(self) -> list[str]:
        return [model.name for model in self._parts.releases.models(PageRequest(limit=500)).items]

    @cached_property
    def versions(self) -> list[VersionView]:
        """Those that can be rolled out, the newest first; none before a model is chosen."""
        if self.model not in self.models:
            return []
        found = self._parts.releases.versions(self.model, PageRequest(limit=_VERSIONS_SHOWN)).items
        return [one for one in found if one.artifacts]

    @cached_property
    def version(self) -> int | None:
        numbers = [one.version for one in self.versions]
        given = self._given.get("version", "") if self.fits else ""
        chosen = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else None
        return chosen if chosen in numbers else next(iter(numbers), None)

    @cached_property
    def wanted(self) -> RolloutIn | None:
        found = self._asked
        return found if isinstance(found, RolloutIn) else None

    @cached_property
    def faults(self) -> Mapping[str, Fault]:
        """What is wrong, by the name of the field."""
        found = self._asked
        return found if isinstance(found, dict) else {}

    @cached_property
    def _asked(self) -> RolloutIn | dict[str, Fault] | None:
        return asked(self.model, self.version, self.slot or "", self.salt, self.typed) if self.version else None

    @cached_property
    def matching(self) -> Mapping[str, int] | None:
        """How many devices the selector means, by target; None while it is none, or names a cohort that is none."""
        try:
            return self._parts.rollouts.matching(self.typed["selector"])
        except Invalid:
            return None

    @property
    def built_for(self) -> list[str]:
        """The targets that the version has an artifact for."""
        chosen = next((one for one in self.versions if one.version == self.version), None)
        return [artifact.target for artifact in chosen.artifacts] if chosen else []

    @cached_property
    def wave(self) -> int:
        """The wave whose devices are listed."""
        given = self._given.get("wave", "")
        return int(given) if given.isascii() and given.isdigit() and len(given) < 4 else 0

    @cached_property
    def _previewed(self) -> PreviewView | HubError | None:
        if self.wanted is None:
            return None
        last = len(self.wanted.policy.waves) - (self.wanted.policy.lab is None)
        try:
            return self._parts.rollouts.preview(self.wanted, min(self.wave, last), _DEVICES_SHOWN)
        except (Invalid, NotFound, Conflict) as error:
            return error

    @property
    def preview(self) -> PreviewView | None:
        return self._previewed if isinstance(self._previewed, PreviewView) else None

    @property
    def refused(self) -> HubError | None:
        """Why the hub would not start it as it is."""
        return self.started or (self._previewed if isinstance(self._previewed, HubError) else None)

    @cached_property
    def ahead(self) -> list[RolloutView]:
        """Rollouts under way that this one takes over from."""
        rollouts = self._parts.rollouts
        return [
            one
            for state in UNDER_WAY
            if state != "reverting"
            for one in rollouts.page(PageRequest(limit=5), model=self.model, state=state).items
            if one.slot == self.slot
        ]

    @property
    def consequence(self) -> str:
        """What happens at once when it is started, and how far it goes by itself."""
        assert self.wanted is not None and self.preview is not None
        policy, waves = self.wanted.policy, self.preview.waves
        first, last = waves[0], waves[-1]
        if not last.covers:
            return "No device is eligible now: it waits for the first that is."
        at_once = (
            f"Wave 1 waits for somebody who approves it; then {words.plural(first.covers, 'device')}"
            if policy.approval.asked_for(0)
            else f"At once {words.plural(first.covers, 'device')}"
        )
        end = "orders each of them back" if policy.on_stop == "revert" else "stops, and leaves what is out"
        return (
            f"{at_once} of {last.covers:,} {'is' if first.covers == 1 else 'are'} ordered to fetch, prove and run "
            f"{self.model} v{self.version}. The other waves follow by themselves as each shows what it must; when one "
            f"does harm, the hub {end}."
        )

    @staticmethod
    def label_of(name: str) -> str:
        return FIELDS[name].label if name in FIELDS else name

    def folded(self, section: Section) -> bool:
        """Whether nothing that differs from the default was typed in an optional section, and nothing is wrong."""
        first = at_first()
        same = all(self.typed[field.name] in ("", first[field.name]) for field in section.fields)
        return section.optional and same and not any(field.name in self.faults for field in section.fields)

    def start(self, by: str) -> RolloutView | None:
        """Starts it; None where something is wrong, which the page then shows."""
        if self.wanted is None:
            return None
        if not self.fits:
            self.started = Stale(
                "It was not started: another model was chosen than the one whose plan was shown.",
                "Look at what would happen now, and decide again.",
            )
            return None
        digest = hashlib.sha256(self.wanted.model_dump_json().encode()).hexdigest()
        # Pressed twice it is started once; changed and pressed again it is another.
        request = RequestKey(f"console-{self.salt}-{digest[:16]}", digest)
        try:
            return self._parts.rollouts.create(self.wanted, Origin(by, request=request))
        except (Invalid, NotFound, Conflict) as error:
            self.started = error
            return None


def _salt(given: str) -> str:
    known = 8 <= len(given) <= 64 and all(one in "0123456789abcdef" for one in given)
    return given if known else secrets.token_hex(8)


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/rollouts/new`; comes before `/rollouts/ID`."""
    api = APIRouter()

    @api.get("/rollouts/new")
    def show(request: Request) -> Response:
        view = NewRollout(parts, request.query_params)
        if view.fits or "part" not in request.query_params:
            return renderer.page(request, "new_rollout.html", view=view)
        response = renderer.page(request, "new_rollout.html", part="wizard", view=view)
        response.headers["HX-Retarget"] = "#wizard"
        return response

    def start(request: Request, given: Mapping[str, str]) -> Response:
        view = NewRollout(parts, given)
        try:
            by = actor.acting(view.by)
            made = view.start(by)
        except Invalid as error:
            view.started, made, by = error, None, ""
        if made is None:
            return renderer.whole(request, "new_rollout.html", status=422, view=view)
        response = RedirectResponse(f"/rollouts/{made.id}", 303)
        actor.remember(request, response, by)
        return response

    @api.post("/rollouts/new")
    async def post(request: Request) -> Response:
        form = await request.form()
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        return await run_in_threadpool(start, request, given)

    return api
