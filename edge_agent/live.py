"""The slot that inference reads: always one whole model or none, switched between two records."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edge_agent.runtimes.session import Session
from fleet_contract.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is loaded and warmed up."""

    manifest: Manifest
    session: Session


@dataclass(frozen=True, slots=True)
class Health:
    """How the live model has done since it was switched to: `count` records answered, `errors` that failed."""

    count: int = 0
    errors: int = 0


@dataclass(slots=True)
class _Tenure:
    """One model's time in the slot."""

    loaded: Loaded
    leases: int = 0
    count: int = 0
    errors: int = 0
    over: bool = field(default=False)


class LiveModel:
    """The model that answers, under one name. Safe for any number of threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tenure: _Tenure | None = None

    @contextmanager
    def lease(self) -> Iterator[Loaded | None]:
        """The live model, or None, for one record: it is not closed before the lease ends.

        Leaving normally counts a record as answered, leaving by an `Exception` as failed: keep only the model's own
        work inside.
        """
        with self._changed:
            tenure = self._tenure
            if tenure is not None:
                tenure.leases += 1
        if tenure is None:
            yield None
            return
        failed = False
        try:
            yield tenure.loaded
        except Exception:
            failed = True
            raise
        finally:
            with self._changed:
                tenure.leases -= 1
                tenure.count += not failed
                tenure.errors += failed
                last = tenure.over and tenure.leases == 0
            if last:
                tenure.loaded.session.close()

    def switch(self, loaded: Loaded | None) -> None:
        """From now on `loaded` answers. What answered before is closed when its last lease ends."""
        with self._changed:
            before, self._tenure = self._tenure, None if loaded is None else _Tenure(loaded)
            idle = False
            if before is not None:
                before.over = True
                idle = before.leases == 0
            self._changed.notify_all()
        if before is not None and idle:
            before.loaded.session.close()

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of the live model."""
        with self._changed:
            return None if self._tenure is None else self._tenure.loaded.manifest

    def health(self) -> Health:
        """The counts since the last switch."""
        with self._changed:
            return Health() if self._tenure is None else Health(self._tenure.count, self._tenure.errors)

    def wait(self, timeout_seconds: float) -> bool:
        """Whether a model is live, after waiting for one for up to `timeout_seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._tenure is not None, timeout_seconds)
