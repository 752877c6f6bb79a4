"""Judges this device's clock by what its hub says. No I/O, no clock.

Gateways come without a battery and wake up in 1970, or with a bad one in 2099. No trust follows the hub's time: an
answer is not signed, and an order's expiry is judged by this device alone. But it is said, for a clock that is wrong
makes certificates invalid, orders expired, and windows land where nobody looks for them. And the hour of a switch goes
by it: whoever forged an answer could move that to another hour, and no more.
"""

from datetime import UTC, datetime, timedelta

import msgspec

from fleet_contract.because import Because

#: Further apart than any message takes, and near enough for windows of some seconds to be where they belong.
TOLERANCE = timedelta(minutes=2)
#: No hub lives outside of these, and a calendar that ends there leaves room to count days in any zone.
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Sighting(msgspec.Struct, frozen=True):
    """The hub's time in an answer, and when that came, in seconds of a clock that nobody sets."""

    hub: datetime
    at: float


class Told(msgspec.Struct, frozen=True):
    """The time, aware; `by_hub`: not this device's own, which is wrong."""

    moment: datetime
    by_hub: bool = False


def told(now: datetime, steady: float, sighting: Sighting | None, issued_at: datetime | None) -> Told | None:
    """The best that is known of the time; None when `now` is wrong and nobody has said the right one. Arguments are
    those of `judged`."""
    if judged(now, steady, sighting, issued_at) is None:
        return Told(now)
    there = None if sighting is None else _later(sighting.hub, steady - sighting.at)
    return Told(there, by_hub=True) if there is not None and EARLIEST < there < LATEST else None


def judged(now: datetime, steady: float, sighting: Sighting | None, issued_at: datetime | None) -> Because | None:
    """What is wrong with a clock that says `now`; None when nothing is known to be.

    `sighting` is the hub's last word, `steady` what that other clock says now; `issued_at` is of the newest signed
    order: it is never later than it was issued.
    """
    if sighting is not None and (there := _later(sighting.hub, steady - sighting.at)) is not None:
        apart = now - there
        if abs(apart) <= TOLERANCE:
            return None
        way = "ahead of" if apart > timedelta() else "behind"
        return _wrong(now, f"{_span(abs(apart))} {way} the hub's, which says {there:%Y-%m-%d %H:%M:%S}")
    if issued_at is not None and issued_at - now > TOLERANCE:
        return _wrong(now, f"at least {_span(issued_at - now)} behind: its order is of {issued_at:%Y-%m-%d %H:%M:%S}")
    return None


def _wrong(now: datetime, how: str) -> Because:
    return Because("clock-wrong", f"This device's clock says {now:%Y-%m-%d %H:%M:%S} UTC, {how}. Set it.")


def _later(moment: datetime, seconds: float) -> datetime | None:
    """None where the calendar ends: then nothing was said."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _span(apart: timedelta) -> str:
    seconds = apart.total_seconds()
    for name, length in (("days", 86_400), ("hours", 3600)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {name}"
    return f"{int(seconds // 60)} minutes"
