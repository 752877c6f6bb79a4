"""A hub, as Python sees it."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from fleet_client.audit import Audit
from fleet_client.blobs import Blobs
from fleet_client.cohorts import Cohorts
from fleet_client.devices import Devices
from fleet_client.freeze import Freezing
from fleet_client.http import API, Http
from fleet_client.lake import Lake
from fleet_client.manifests import Manifests
from fleet_client.models import Models
from fleet_client.pins import Pins
from fleet_client.rollouts import Rollouts
from fleet_client.views import Health


class Client:
    """One hub at `url`, such as "http://127.0.0.1:8420". `token` is its API token, when it asks for one; `actor` says
    in the hub's history who acts.

    Every method raises `fleet_client.errors.HubUnreachable` when nobody answers, `HubRefused` when the hub says no
    (with its code and what to do), and `AnswerWrong` when what answers is no hub of this release.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8420",
        token: str | None = None,
        timeout_seconds: float = 30.0,
        *,
        actor: str | None = None,
    ) -> None:
        self._http = Http(url, token, timeout_seconds, actor)
        self.blobs = Blobs(self._http)
        self.devices = Devices(self._http)
        self.models = Models(self._http, self.blobs)
        self.rollouts = Rollouts(self._http)
        self.freeze = Freezing(self._http)
        self.pins = Pins(self._http)
        self.cohorts = Cohorts(self._http)
        self.manifests = Manifests(self._http)
        self.lake = Lake(self._http)
        self.audit = Audit(self._http)

    @property
    def url(self) -> str:
        return self._http.url

    def health(self) -> Health:
        return self._http.get(Health, f"{API}/health")

    def watch(self, subjects: Iterable[str], at_least_every_seconds: float = 5.0) -> Iterator[None]:
        """Yields whenever one of `subjects` changes, and every so often when nothing does; so also at once, since the
        hub opens its stream by naming all of them.

        Subjects: "devices", "device:ID", "models", "rollouts", "rollout:ID", "telemetry". What changed is for the
        caller to ask for, so a change that was missed while the connection broke is seen with the next.
        """
        query = {"subjects": ",".join(subjects)}
        while True:
            opened = time.monotonic()
            with self._http.lines(f"{API}/events", query, at_least_every_seconds) as lines:
                for line in lines:
                    if line.startswith(b"data:"):
                        yield None
                    elif time.monotonic() - opened > at_least_every_seconds:
                        break
            # A hub that closes the stream at once would otherwise be asked without a pause.
            time.sleep(max(0.0, 0.2 - (time.monotonic() - opened)))
            yield None

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
