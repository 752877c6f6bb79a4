"""Downloads, a few at a time, each on a thread of its own: what is not wanted any more is called off at once."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import msgspec

from edge_agent.core.steps import Fetch
from edge_agent.failures import TryLater
from edge_agent.store.artifacts import ArtifactStore
from fleet_contract.errors import VedetteError

if TYPE_CHECKING:
    import ssl

    from edge_agent.store.download import Download

_log = logging.getLogger(__name__)
#: Downloads at once. More would not be faster; with one, a slow server keeps all models waiting.
PARALLEL = 2
#: How long a download may keep others waiting: it goes on later from where it is, so its turn's end costs a request.
TURN_SECONDS = 60.0


class Fetched(msgspec.Struct, frozen=True):
    """How a fetch ended: with all bytes on disk when `error` is None."""

    fetch: Fetch
    error: VedetteError | None


class _Flight(msgspec.Struct, frozen=True):
    fetch: Fetch
    download: "Download"
    began: float


class Fetcher:
    """Downloads into `store`; URLs may be relative to `hub`. Calls `finished` on a download's thread after each.

    `tls` makes the context for https; the system's authorities are trusted when it is None.
    """

    def __init__(
        self,
        store: ArtifactStore,
        hub: str,
        finished: Callable[[], None],
        *,
        tls: "Callable[[], ssl.SSLContext] | None" = None,
        turn_seconds: float = TURN_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._hub = hub
        self._finished = finished
        self._tls = tls
        self._turn_seconds = turn_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._flights: list[_Flight] = []
        self._results: list[Fetched] = []
        # When each digest's last turn began: who has waited longest is next.
        self._turns: dict[str, float] = {}

    def aim(self, fetches: Sequence[Fetch]) -> None:
        """These, of one digest each, and no others are wanted now, in this order as far as nobody has waited longer."""
        with self._lock:
            for flight in [one for one in self._flights if one.fetch not in fetches]:
                self._call_off(flight)
            known = [flight.fetch for flight in self._flights] + [result.fetch for result in self._results]
            waiting = [fetch for fetch in fetches if fetch not in known]
            wanted = {fetch.blob.digest for fetch in fetches}
            self._turns = {digest: began for digest, began in self._turns.items() if digest in wanted}
            waiting.sort(key=lambda fetch: self._turns.get(fetch.blob.digest, 0.0))
            now = self._monotonic()
            if waiting and len(self._flights) >= PARALLEL and now - self._flights[0].began >= self._turn_seconds:
                self._call_off(self._flights[0])
            for fetch in waiting[: PARALLEL - len(self._flights)]:
                self._start(fetch, now)

    def results(self) -> list[Fetched]:
        """What has ended since the last call."""
        with self._lock:
            results, self._results = self._results, []
            return results

    def _call_off(self, flight: _Flight) -> None:
        flight.download.call_off()
        self._flights.remove(flight)

    def _start(self, fetch: Fetch, now: float) -> None:
        # Here, for it brings HTTP along: a device that has all it needs does without.
        from edge_agent.store.download import Download

        flight = _Flight(fetch, Download(self._resolved(fetch.url), fetch.blob, self._store, self._tls), now)
        self._flights.append(flight)
        self._turns[fetch.blob.digest] = now
        # A daemon: a name server that does not answer must not keep the agent from stopping.
        threading.Thread(target=self._run, args=(flight,), name="fetch", daemon=True).start()

    def _resolved(self, url: str) -> str:
        try:
            return urljoin(self._hub, url)
        except ValueError:
            # No URL at all: the download says so, on its own thread, and this one lives on.
            return url

    def _run(self, flight: _Flight) -> None:
        fetch, error = flight.fetch, self._outcome(flight)
        with self._lock:
            if flight not in self._flights:
                return
            self._flights.remove(flight)
            self._results.append(Fetched(fetch, error))
        self._finished()

    def _outcome(self, flight: _Flight) -> VedetteError | None:
        manifest = flight.fetch.manifest
        try:
            # Both at once: an artifact whose golden set does not fit beside it would be fetched in vain.
            self._store.admit(manifest.artifact, manifest.golden.blob)
            flight.download.run()
        except VedetteError as error:
            return error
        except Exception as error:  # noqa: BLE001, see below
            # A fault of ours must not stop all downloads for ever.
            _log.exception("The download of %s failed.", flight.fetch.url)
            return TryLater(
                f"The download failed: {error!r}.",
                "It is the agent's own fault, and its log says where; it is tried again by itself.",
                code="agent-fault",
            )
        return None
