"""How much sealed memory all clients have together."""

import threading

from edge_agent.allotment import left_bytes
from edge_agent.serving.port import Overloaded
from edge_agent.serving.sealed import Sealed
from edge_agent.update.footprint import own_and_shared

#: What the agent and others may need meanwhile.
_MARGIN_BYTES = 16 * 1024 * 1024


class Vault:
    """At most `most_bytes`, counted until they are given back. Safe for any thread; `make` and `give_back` take as long
    as it takes to write that much, and keep no other from it."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._taken_bytes = 0

    def make(self, size_bytes: int) -> Sealed:
        """Raises `InputWrong` or `Overloaded`."""
        with self._lock:
            if self._taken_bytes + size_bytes > self.most_bytes:
                raise Overloaded(
                    f"{self._taken_bytes} of {self.most_bytes} bytes of sealed memory are taken.",
                    "Unregister what you do not need, or register shared memory of your own.",
                )
            self._taken_bytes += size_bytes
        try:
            _check_left(size_bytes)
            return Sealed(size_bytes)
        except BaseException:
            self._release(size_bytes)
            raise

    def give_back(self, sealed: Sealed) -> None:
        """Once; nobody is given it any more."""
        sealed.close()
        self._release(len(sealed.memory))

    def _release(self, size_bytes: int) -> None:
        with self._lock:
            self._taken_bytes -= size_bytes


def _check_left(size_bytes: int) -> None:
    # The kernel does not refuse what a device or a control group has not got: it ends whoever takes most.
    left = left_bytes(sum(own_and_shared()))
    if left < size_bytes + _MARGIN_BYTES:
        raise Overloaded(
            f"{max(0, left)} bytes of memory are left here, too few for {size_bytes} of sealed memory.",
            "Ask for less, or again later.",
            retry_after_seconds=10,
        )
