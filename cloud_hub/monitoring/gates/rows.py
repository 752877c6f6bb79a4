"""Where each device's counts of each period belong: found once for a cohort, and the same for every gate. Pure."""

from collections.abc import Mapping, Sequence, Set
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cloud_hub.monitoring.evidence import Evidence

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
#: Texts.
Names = NDArray[np.object_]


class Rows:
    """`shown` period by period: one row a device and period, in that order. `past` and `targets` as in `Case`; some
    devices are there `for_target` alone."""

    def __init__(
        self, shown: Sequence[Evidence], past: Evidence, targets: Mapping[str, str], for_target: Set[str]
    ) -> None:
        self.shown = shown
        at: dict[str, int] = {}
        self.device: Ints = np.array(
            [at.setdefault(name, len(at)) for one in shown for name in one.by_device], np.int64
        )
        """Of each row, counted as in `devices`."""
        self.period: Ints = np.repeat(np.arange(len(shown)), [one.devices for one in shown])
        self.devices: Names = np.array(list(at), object)
        self.targets: Names = np.array([targets.get(name, "") for name in at], object)
        self.drawn: Flags = np.array([name not in for_target for name in at], np.bool_)
        """Which devices were drawn from all, and may speak for all."""
        self.before: Ints = np.array([_places(past).get(name, past.devices) for name in at], np.int64)
        """The row of each device's past; one more than there are, where it has none."""
        self.rank: Ints = np.array([crc32(name.encode()) for name in at], np.int64)
        """In order of it some devices can be chosen: by nothing that they did, and always the same ones."""


def _places(past: Evidence) -> Mapping[str, int]:
    return past.once("rows", None, lambda: {name: row for row, name in enumerate(past.by_device)})
