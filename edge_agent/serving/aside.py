"""Work that takes too long for the thread that serves: one thing after the other, on a thread that is there only while
there is something to do."""

import logging
import threading
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Aside:
    """Safe for any thread. Whatever a call raises is logged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], None]] = deque()
        self._running = False

    def do(self, call: Callable[[], None]) -> None:
        """After all that is to be done already."""
        with self._lock:
            self._calls.append(call)
        self._start()

    def do_first(self, call: Callable[[], None]) -> None:
        """Before all that has not begun."""
        with self._lock:
            self._calls.appendleft(call)
        self._start()

    def _start(self) -> None:
        with self._lock:
            if self._running or not self._calls:
                return
            self._running = True
        try:
            threading.Thread(target=self._run, name="aside", daemon=True).start()
        except (RuntimeError, MemoryError):
            # The device has no thread to spare, and what is to be done may be to give memory back.
            self._run()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._calls:
                    self._running = False
                    return
                call = self._calls.popleft()
            try:
                call()
            except Exception:  # noqa: BLE001, what comes behind it is to be done all the same
                _log.exception("What was to be done aside has failed.")
