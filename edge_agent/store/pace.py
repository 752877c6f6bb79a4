"""Tells a download that is slow from one that only drips. No I/O, no clock."""

import msgspec

#: How long a server has to bring `LEAST_BYTES`: name look-up, connection and headers included.
PACE_SECONDS = 30.0
#: 270 bytes a second: a tenth of what the slowest mobile networks give.
LEAST_BYTES = 8 * 1024


class Pace(msgspec.Struct, frozen=True):
    """What must come in every `seconds`. A blob smaller than `least_bytes` must come as a whole."""

    seconds: float = PACE_SECONDS
    least_bytes: int = LEAST_BYTES

    def is_kept(self, before: int, now: int) -> bool:
        """Whether going from `before` to `now` bytes within `seconds` was enough."""
        return now - before >= self.least_bytes
