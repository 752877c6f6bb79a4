"""The thread that forgets what is too old to be kept: at the start, and then every hour."""

import logging
import threading
from collections.abc import Callable, Mapping

from fleet_contract.because import Because

logger = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
#: After a failure: a database that is away comes back.
AGAIN_SECONDS = 60.0
_STOP_SECONDS = 30.0


class Housekeeping:
    """`chores`, by what each forgets; they are done one after the other, and must be able to be done again."""

    def __init__(self, chores: Mapping[str, Callable[[], None]]) -> None:
        self._chores = chores
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._troubles: list[Because] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the chore that it is at."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)

    def troubles(self) -> list[Because]:
        """What could not be forgotten at the last time."""
        return self._troubles

    def clean(self) -> None:
        """Does every chore once. One that fails keeps no other from being done."""
        troubles = []
        for name, chore in self._chores.items():
            if self._stopping.is_set():
                return
            try:
                chore()
            except Exception as error:
                logger.exception("Old rows of the %s could not be deleted", name)
                troubles.append(
                    Because(
                        "housekeeping-failing",
                        f"What is old in the {name} is not deleted, and the database grows: {type(error).__name__}: "
                        f"{error}. It is tried again every minute; the hub's log has more.",
                    )
                )
        self._troubles = troubles

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.clean()
            self._stopping.wait(AGAIN_SECONDS if self._troubles else EVERY_SECONDS)
