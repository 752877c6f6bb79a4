"""A device joins: the form that makes its token, and the token, shown once with the command that it is for."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from functools import cached_property

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.access.once import RequestKey
from cloud_hub.access.views import TokenOrder, TokenView
from cloud_hub.console import actor, join_form
from cloud_hub.console.parts import Parts
from cloud_hub.console.render import Renderer
from cloud_hub.console.rollout_form import Fault
from cloud_hub.errors import HubError, Invalid, NotFound

_KEY = re.compile(r"[0-9a-f]{16,32}", re.ASCII)


class Join:
    """The form, and the token that it made."""

    def __init__(self, parts: Parts, given: Mapping[str, str]) -> None:
        self._parts = parts
        self.typed = {name: given.get(name, join_form.DEFAULTS.get(name, "")) for name in join_form.FIELDS}
        self.by, self._key = given.get("by", ""), given.get("key", "")
        self.next_key = secrets.token_hex(8)
        """Of the next token: pressed twice, it makes one."""
        self.tried = False
        """Whether one was to be made: before, nothing is wrong yet."""
        self.refused: HubError | None = None
        self.made: TokenView | None = None

    @cached_property
    def asked(self) -> TokenOrder | dict[str, Fault]:
        return join_form.asked(self.typed)

    @property
    def faults(self) -> Mapping[str, Fault]:
        return self.asked if self.tried and isinstance(self.asked, dict) else {}

    @property
    def targets(self) -> list[str]:
        """Those that the fleet has."""
        return sorted(self._parts.devices.summary().targets)

    @property
    def command(self) -> str:
        assert self.made is not None
        join = f"join {self.made.token} --config /etc/vedette/agent.toml"
        return f"sudo -u vedette /opt/vedette/bin/vedette-agent {join}"

    @cached_property
    def known(self) -> bool:
        """Whether a device of that name has joined before."""
        assert self.made is not None
        try:
            return self.made.device is not None and bool(self._parts.devices.get(self.made.device))
        except NotFound:
            return False

    def make(self) -> None:
        """Makes the token that is asked for, unless something is wrong. Raises `Invalid`."""
        self.tried = True
        if isinstance(self.asked, dict):
            return
        # Pressed twice or loaded again it is the same token; changed and pressed again it is another.
        digest = hashlib.sha256(self.asked.model_dump_json().encode()).hexdigest()
        key = f"console-{self._key}-{digest[:16]}" if _KEY.fullmatch(self._key) else None
        self.made = self._parts.joining.make_token(
            self.asked.device,
            self.asked.target,
            self.asked.labels,
            self.asked.expires_in_seconds,
            RequestKey(key, digest) if key else None,
        )
        # The next is for another device, as a rule of the same place.
        self.typed["device"] = ""


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/join`."""
    api = APIRouter()

    @api.get("/join")
    def empty(request: Request) -> Response:
        return renderer.page(request, "join.html", view=Join(parts, request.query_params))

    def make(request: Request, given: Mapping[str, str]) -> Response:
        view, who = Join(parts, given), ""
        try:
            who = actor.acting(view.by)
            view.make()
        except Invalid as error:
            view.refused = error
        # Answered at once and nowhere kept: no address leads to a secret.
        response = renderer.whole(request, "join.html", status=200 if view.made else 422, view=view)
        if view.made:
            actor.remember(request, response, who)
        return response

    @api.post("/join")
    async def post(request: Request) -> Response:
        form = await request.form()
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        return await run_in_threadpool(make, request, given)

    return api
