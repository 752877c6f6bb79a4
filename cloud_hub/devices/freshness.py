"""Decides whether a report is news. No I/O, no clock, no randomness."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from fleet_contract.report import Presence, Report


class Freshness(Enum):
    """`NEWS` is the device's own word and the newest. `WILL` is the broker's word that it is gone."""

    NEWS = "news"
    WILL = "will"
    STALE = "stale"


@dataclass(frozen=True)
class Known:
    """The newest that is known of a device: its boot, the boot before that one, and its last report's number."""

    boot: str | None = None
    boot_before: str | None = None
    boot_started_at: datetime | None = None
    number: int = 0

    def after(self, report: Report) -> "Known":
        """What is known once `report`, which was news, has been taken in."""
        if report.boot == self.boot:
            return Known(self.boot, self.boot_before, self.boot_started_at, report.number)
        return Known(report.boot, self.boot, report.started_at, report.number)


def freshness(known: Known, report: Report) -> Freshness:
    """What `report` is to somebody who knows `known`.

    A last will is made when the device connects, so its content is old when it comes; all it says is that this
    connection broke. Its number is above those of all reports that the connection may bring, and below those of the
    next: one that comes after the device is back is stale. A boot that was never seen is a new one even when it
    claims to have started earlier: gateways without a clock battery start in 1970 until they have asked for the time.
    """
    if report.boot == known.boot:
        if report.number <= known.number:
            return Freshness.STALE
        return Freshness.WILL if report.presence is Presence.LOST else Freshness.NEWS
    if report.boot == known.boot_before or report.presence is Presence.LOST:
        return Freshness.STALE
    return Freshness.NEWS
