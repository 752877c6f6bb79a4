"""How long to wait before the next try: longer each time, and never the same for two devices."""

import random

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0
#: A connection that lasted this long was a good one: what ends it says nothing of the next.
GOOD_SECONDS = 10.0


class Backoff:
    """Counts failures in a row. `jitter` gives numbers from 0 to 1."""

    def __init__(self, jitter: random.Random | None = None) -> None:
        # Not for secrets: only to spread the devices that a broker lost at one moment.
        self._jitter = jitter or random.Random()  # noqa: S311
        self._failures = 0

    def after(self, lasted_seconds: float) -> float:
        """Seconds to wait after a connection, or a try, that lasted so long. Half of it is chance."""
        self._failures = 1 if lasted_seconds >= GOOD_SECONDS else self._failures + 1
        ceiling = min(FIRST_SECONDS * 2.0 ** min(self._failures - 1, 16), LONGEST_SECONDS)
        return ceiling * (0.5 + self._jitter.random() / 2)
