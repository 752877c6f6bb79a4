"""Downloads, one at a time, on a thread of its own: what is not wanted any more is called off at once."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

from edge_agent.core.steps import Fetch
from edge_agent.failures import TryLater
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.download import CalledOff, Download
from fleet_contract.errors import VedetteError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """How a fetch ended: with all bytes on disk when `error` is None."""

    fetch: Fetch
    error: VedetteError | None


class Fetcher:
    """Downloads into `store`; URLs may be relative to `hub`. Calls `finished` on its thread after each."""

    def __init__(self, store: ArtifactStore, hub: str, finished: Callable[[], None]) -> None:
        self._store = store
        self._hub = hub
        self._finished = finished
        self._lock = threading.Lock()
        self._flight: tuple[Fetch, Download] | None = None
        self._results: list[Fetched] = []

    def aim(self, fetches: Sequence[Fetch]) -> None:
        """These, and no others, are wanted now: the first is fetched unless one of them already is."""
        with self._lock:
            if self._flight is not None:
                fetch, download = self._flight
                if fetch in fetches:
                    return
                download.call_off()
                self._flight = None
            done = [result.fetch for result in self._results]
            if not fetches or fetches[0] in done:
                return
            fetch = fetches[0]
            flight = fetch, Download(self._resolved(fetch.url), fetch.blob, self._store)
            self._flight = flight
        # A daemon: a name server that does not answer must not keep the agent from stopping.
        threading.Thread(target=self._run, args=flight, name="fetch", daemon=True).start()

    def _resolved(self, url: str) -> str:
        try:
            return urljoin(self._hub, url)
        except ValueError:
            # No URL at all: the download says so, on its own thread, and this one lives on.
            return url

    def results(self) -> list[Fetched]:
        """What has ended since the last call."""
        with self._lock:
            results, self._results = self._results, []
            return results

    def _run(self, fetch: Fetch, download: Download) -> None:
        error: VedetteError | None = None
        try:
            download.run()
        except CalledOff:
            return
        except VedetteError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001, see below
            # A fault of ours must not stop all downloads for ever.
            _log.exception("The download of %s failed.", fetch.url)
            error = TryLater(f"The download failed: {problem!r}.", code="agent-fault")
        with self._lock:
            if self._flight is None or self._flight[1] is not download:
                return
            self._flight = None
            self._results.append(Fetched(fetch, error))
        self._finished()
