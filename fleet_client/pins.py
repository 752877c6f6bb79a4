"""Pins: devices that rollouts leave alone for a while."""

import os
from datetime import datetime
from urllib.parse import quote

from fleet_client.http import API, Http
from fleet_client.views import Pin

_PATH = f"{API}/pins"


class Pins:
    """`client.pins`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, device: str | None = None) -> list[Pin]:
        """The pins that hold now, the newest first; of `device`, those that hold it."""
        return self._http.get(list[Pin], _PATH, {"device": device})

    def pin(
        self,
        reason: str,
        until: datetime,
        *,
        device: str | None = None,
        selector: str | None = None,
        model: str | None = None,
        version: int | None = None,
        key: str | None = None,
    ) -> Pin:
        """Has rollouts leave `device`, or those that `selector` means, alone until `until` (aware): all their models
        or only `model`, at what they are offered now or at `version`. `key` names the request: asked again with
        the same, the hub answers with the pin that it made."""
        asked = {"device": device, "selector": selector, "model": model, "version": version}
        body = {key: value for key, value in asked.items() if value is not None}
        said = {**body, "reason": reason, "until": until.isoformat()}
        return self._http.send(Pin, "POST", _PATH, said, key or os.urandom(16).hex())

    def unpin(self, pin: str, *, seen: int | None = None) -> Pin:
        """Rollouts reach its devices again."""
        return self._http.send(Pin, "DELETE", f"{_PATH}/{quote(pin, safe='')}", None, seen=seen)
