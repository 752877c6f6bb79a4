"""Maintenance windows of many devices at once: the contract's own function, asked once for each minute of a week."""

from datetime import datetime, timedelta

import numpy as np

from cloud_hub.rollouts.policy import MaintenanceWindow
from cloud_hub.simulation.fleet import Floats
from fleet_contract import window as contract

_MONDAY = datetime(2026, 1, 5)  # noqa: DTZ001  (a wall clock's)
_MINUTES = 7 * 24 * 60


class Windows:
    """When devices may switch. Rollouts start on a Monday."""

    def __init__(self, asked: MaintenanceWindow) -> None:
        window = contract.MaintenanceWindow(asked.days, asked.start, asked.end)
        times = [_MONDAY + timedelta(minutes=minute) for minute in range(_MINUTES)]
        self._wait = np.array([(contract.opens_next(window, time) - time).total_seconds() for time in times])

    def open_from(self, local_seconds: Floats, at: Floats) -> Floats:
        """The first moment from `at` on when each may switch, by the local times when the rollout started."""
        known = np.isfinite(at)
        local = local_seconds + np.where(known, at, 0.0)
        minute = (local // 60).astype(np.int64) % _MINUTES
        wait = np.maximum(self._wait[minute] - local % 60, 0.0)
        return np.where(known, at + wait, np.inf)
