"""How much sealed memory all clients have together."""

import threading

from edge_agent.serving.budget import check_left
from edge_agent.serving.port import Overloaded
from edge_agent.serving.sealed import Sealed


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
            check_left(size_bytes, f"{size_bytes} of sealed memory", "Ask for less, or again later.")
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
