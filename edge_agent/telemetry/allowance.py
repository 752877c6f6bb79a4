"""A share of a core for work that nobody waits for: it is saved up to a bound, and spent before it is known what it
costs. For any number of threads, about."""

import time

#: Below that, a measured time says more of the call than of the bytes.
_SMALL_BYTES = 16 * 1024


class Allowance:
    """`share` of a core, of which `saved_seconds` may be saved up. A byte takes `per_byte` seconds, until that is
    measured, and there are `per_call` of work also for the smallest."""

    def __init__(self, share: float, saved_seconds: float, per_byte: float = 2e-9, per_call: float = 2e-6) -> None:
        self._share = share
        self._most = saved_seconds * share
        self._saved = self._most
        self._at = time.monotonic()
        self._per_byte = per_byte
        self._per_call = per_call

    def allows(self, size_bytes: int) -> bool:
        """Whether work on that many bytes may be done; if so, it is paid for."""
        now = time.monotonic()
        self._saved = min(self._saved + (now - self._at) * self._share, self._most)
        self._at = now
        if self._saved < 0:
            return False
        self._saved -= size_bytes * self._per_byte + self._per_call
        return True

    @property
    def rest_seconds(self) -> float:
        """How long nothing is allowed from now on."""
        return max(0.0, -self._saved / self._share - (time.monotonic() - self._at))

    def measured(self, size_bytes: int, seconds: float) -> None:
        """Work on that many bytes took so long."""
        if size_bytes > _SMALL_BYTES:
            self._per_byte = 0.8 * self._per_byte + 0.2 * seconds / size_bytes
