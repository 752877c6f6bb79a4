"""Whether it pays to look for a client's next request again and again for a moment, before the thread sleeps."""

#: How long it is looked at least. Being woken up takes about as long, on both sides together.
LINGER_SECONDS = 100e-6
#: And at most: whoever writes a large input anew needs longer than that for it, and asks a model that takes longer. Of
#: what the answer took, a fortieth is no great waste.
_LONGEST_LINGER_SECONDS = 500e-6
_SHARE = 1 / 40
#: After how many waits in vain, at most, it is tried once more.
_LONGEST_PAUSE = 256


def linger_seconds(took_seconds: float) -> float:
    """How long to look, after an answer that took so long."""
    return max(LINGER_SECONDS, min(took_seconds * _SHARE, _LONGEST_LINGER_SECONDS))


class Patience:
    """Learns from what came of it. No clock.

    Where clients ask again within the moment, it is spent each time. Where they do not, it is tried ever more rarely,
    until it costs nothing: a gateway has other work. With one core the client could not ask while it is waited for.
    """

    def __init__(self, cores: int) -> None:
        self._never = cores < 2
        self._pause = 1
        self._left = 0

    def worth(self) -> bool:
        """Whether to look, this time."""
        if self._never:
            return False
        if self._left:
            self._left -= 1
            return False
        return True

    def told(self, found: bool) -> None:
        """What came of looking."""
        if found:
            self._pause, self._left = 1, 0
        else:
            self._left = self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
