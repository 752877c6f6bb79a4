"""The freeze: nothing moves in the whole fleet until it ends."""

from datetime import datetime

from fleet_client.http import API, Http
from fleet_client.views import Freeze

_PATH = f"{API}/freeze"


class Freezing:
    """`client.freeze`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def show(self) -> Freeze:
        return self._http.get(Freeze, _PATH)

    def on(self, reason: str, until: datetime | None = None, *, seen: int | None = None) -> Freeze:
        """From now on no device is ordered anything new, until `until` (aware) or until `off`. What was
        `seen` at a revision is replaced only if it is still at that one."""
        body = {"reason": reason} | ({"until": until.isoformat()} if until else {})
        return self._http.send(Freeze, "PUT", _PATH, body, seen=seen)

    def off(self, *, seen: int | None = None) -> Freeze:
        """The fleet may move again."""
        return self._http.send(Freeze, "DELETE", _PATH, None, seen=seen)
