"""The sources that run: one thread each, started and stopped as the config says, also while the agent runs."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from edge_agent.live import LiveModel
from edge_agent.serving.port import Engine
from edge_agent.sources.settings import Settings
from edge_agent.vitals import Vital
from fleet_contract.because import Because

if TYPE_CHECKING:
    from edge_agent.inference import Inference

_log = logging.getLogger(__name__)
#: A source that is exchanged has so long to end before the next one starts.
_LEAVE_SECONDS = 2.0
#: An inference that takes longer is taken to hang. The updater has proved each model to be far faster than this.
HANG_SECONDS = 60.0


class _Feed(msgspec.Struct, eq=False):
    settings: Settings
    inference: "Inference"
    thread: threading.Thread
    stop: threading.Event


class Feeds:
    """All sources. `follow` and `stop` on one thread."""

    def __init__(
        self, slot: Callable[[str], LiveModel], engine: Engine, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._slot = slot
        self._engine = engine
        self._on_change = on_change
        self._feeds: list[_Feed] = []
        self._leaving: list[_Feed] = []
        self._started = 0

    def follow(self, wanted: Sequence[Settings]) -> None:
        """Runs `wanted` and nothing else; those that run already go on undisturbed."""
        running, self._feeds = self._feeds, []
        missing = []
        for settings in wanted:
            same = next((feed for feed in running if feed.settings == settings), None)
            if same is None:
                missing.append(settings)
            else:
                running.remove(same)
                self._feeds.append(same)
        for feed in running:
            feed.stop.set()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for feed in running:
            feed.thread.join(max(0.0, deadline - time.monotonic()))
        # One that does not end is watched further: only a restart helps against it.
        self._leaving = [feed for feed in (*self._leaving, *running) if feed.thread.is_alive()]
        self._feeds += [self._start(settings) for settings in missing]
        self._on_change()

    def stop(self, seconds: float) -> None:
        """Stops all within `seconds`, as far as they can be."""
        for feed in self._feeds:
            feed.stop.set()
        deadline = time.monotonic() + seconds
        for feed in self._feeds:
            feed.thread.join(max(0.0, deadline - time.monotonic()))

    def threads(self) -> list[threading.Thread]:
        """Those that must be alive."""
        return [feed.thread for feed in self._feeds]

    def vitals(self, least_seconds: float = 0.0) -> Iterator[Vital]:
        """The loops, which may stand still for `least_seconds` at least."""
        limit = max(HANG_SECONDS, least_seconds)
        for feed in (*self._feeds, *(one for one in self._leaving if one.thread.is_alive())):
            hint = f"an inference of {feed.settings.model}, or what it reads from, hangs"
            yield Vital(feed.thread.name, lambda feed=feed: feed.inference.turned_at, limit, hint)  # type: ignore[misc]  # mypy knows no default for a lambda's argument

    def troubles(self) -> list[Because]:
        """What is wrong with the sources now."""
        return [feed.inference.trouble for feed in self._feeds if feed.inference.trouble is not None]

    def _start(self, settings: Settings) -> _Feed:
        # A gateway whose applications ask has no sources, and starts without them.
        from edge_agent.inference import Inference
        from edge_agent.sources.opening import source_of

        inference = Inference(source_of(settings), self._slot(settings.model), self._engine, self._on_change)
        stop = threading.Event()
        # A daemon: what does not stop in time must not keep the process.
        name = f"source-{self._started}"
        thread = threading.Thread(target=inference.run, args=(stop,), name=name, daemon=True)
        self._started += 1
        thread.start()
        return _Feed(settings, inference, thread, stop)
