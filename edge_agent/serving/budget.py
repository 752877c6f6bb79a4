"""The memory that requests may take: bounded as a whole, and by what the device has left."""

import threading

from edge_agent import memory
from edge_agent.allotment import left_bytes
from edge_agent.serving.port import Overloaded
from edge_agent.update.footprint import own_and_shared

#: What the agent and others may need meanwhile.
_MARGIN_BYTES = 32 * 1024 * 1024
#: To look at what is left takes 0.2 ms, and a body of so many bytes ten times as long.
_WORTH_BYTES = 4 * 1024 * 1024
#: So little is taken in whatever waits, and connections bound it: who asks for a few numbers, and sends them behind the
#: head, waits for nobody's pictures.
_LITTLE_BYTES = 16 * 1024
#: Of a number on its way into a tensor: Python's own object, its place in a list, and its place in the tensor.
READ_BYTES = 40
#: On its way into JSON: the same with its digits.
TOLD_BYTES = 64


class Budget:
    """At most `most_bytes` for the bodies of all requests that arrive or are not answered yet, beside small ones. Safe
    for any thread."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._taken_bytes = 0

    def reserve(self, size: int) -> bool:
        """Whether there is room for a body of `size` bytes; a negative number gives that many back. Raises `Overloaded`
        where there would be, and the device has not so much memory left."""
        with self._lock:
            if size > max(_LITTLE_BYTES, self.most_bytes - self._taken_bytes):
                return False
            self._taken_bytes += size
            taken = self._taken_bytes
        if size >= _WORTH_BYTES:
            try:
                # Of the others some may be still to come, and who sends much may be answered with as much.
                check_left(taken + size, f"a body of {size}", "Send less at once, or ask again later.")
            except BaseException:
                self.reserve(-size)
                raise
        return True


def check_elements(elements: int, each_bytes: int, where: str, remedy: str) -> None:
    """Raises `Overloaded` where the device has no memory left to read or tell so many elements, as Python has them."""
    if (size := each_bytes * elements) >= _WORTH_BYTES:
        check_left(size, f"{elements} elements {where}", remedy)


def check_left(size_bytes: int, what: str, remedy: str) -> None:
    """Raises `Overloaded` where the device or the control group has less than `size_bytes` left, for `what`. The kernel
    would not refuse it: it ends whoever takes most."""
    needed = size_bytes + _MARGIN_BYTES
    if _left() >= needed:
        return
    # What the last requests have freed may still be the agent's.
    memory.give_back()
    left = _left()
    if left < needed:
        raise Overloaded(
            f"{max(0, left)} bytes of memory are left here, too few for {what}.", remedy, retry_after_seconds=10
        )


def _left() -> int:
    try:
        return left_bytes(sum(own_and_shared()))
    except OSError as error:
        # As long as the agent has no descriptor left.
        raise Overloaded(
            f"How much memory is left cannot be seen here: {error.strerror}.",
            "Ask again later.",
            retry_after_seconds=10,
        ) from error
