"""What ran on a device, and what put it there."""

from datetime import datetime

import msgspec

from fleet_client.views.holds import Pin
from fleet_client.views.rollouts import Decision


class Ran(msgspec.Struct, frozen=True):
    """What one slot of one model ran on a device at some time, from when to when (None: still), and what put it there:
    the rollout, who asked for it, the wave (from 0) and the decision that opened that, with its evidence; or the
    `pin`, with its id in the place of the rollout's."""

    model: str
    slot: str
    version: int
    digest: str
    since: datetime
    until: datetime | None = None
    rollout: str | None = None
    asked_by: str | None = None
    approved_by: str | None = None
    wave: int | None = None
    decision: Decision | None = None
    pin: Pin | None = None
