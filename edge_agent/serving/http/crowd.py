"""Whether a server's clients are one or many."""

#: Who has asked all that was asked for so long is alone.
ALONE_SECONDS = 0.05


class Crowd:
    """Hears who asks. No clock: times are monotonic seconds."""

    def __init__(self) -> None:
        self._who: object = None
        self._since = 0.0

    def alone(self, who: object, now: float) -> bool:
        """`who` asks: whether nobody else has lately."""
        if who is not self._who:
            self._who, self._since = who, now
            return False
        return now - self._since > ALONE_SECONDS

    def left(self, who: object) -> None:
        """`who` will not ask again."""
        if who is self._who:
            self._who = None
