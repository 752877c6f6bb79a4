"""A clock for tests: it stands still until it is moved."""

from datetime import UTC, datetime, timedelta


class StoppedClock:
    """Call it for the time, as services do."""

    def __init__(self, now: datetime = datetime(2026, 11, 2, 12, 0, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
