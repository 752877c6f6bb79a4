"""Whether a server's clients are one or many."""

import math

#: Who has heard of no other for so long has the server to itself. A health probe comes more often than that.
ALONE_SECONDS = 1.0


class Crowd:
    """Hears who does something. No clock: times are monotonic seconds, which never go back."""

    def __init__(self) -> None:
        self._who: object = None
        self._heard_at = -math.inf
        self._other_at = -math.inf

    def alone(self, who: object, now: float) -> bool:
        """`who` does something: whether nobody else has lately."""
        if who is not self._who:
            self._who, self._other_at = who, self._heard_at
        self._heard_at = now
        return now - self._other_at > ALONE_SECONDS

    def left(self, who: object) -> None:
        """`who` will do nothing any more: another may have its place in memory."""
        if who is self._who:
            self._who = None
