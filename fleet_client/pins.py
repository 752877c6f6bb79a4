"""Pins: devices that rollouts leave alone for a while."""

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
    ) -> Pin:
        """Has rollouts leave `device`, or those that `selector` means, alone until `until` (aware): all their models
        or only `model`, at what they are offered now or at `version`."""
        asked = {"device": device, "selector": selector, "model": model, "version": version}
        body = {key: value for key, value in asked.items() if value is not None}
        return self._http.send(Pin, "POST", _PATH, {**body, "reason": reason, "until": until.isoformat()})

    def unpin(self, pin: str, *, seen: int | None = None) -> Pin:
        """Rollouts reach its devices again."""
        return self._http.send(Pin, "DELETE", f"{_PATH}/{quote(pin, safe='')}", None, seen=seen)
