"""What a client asks again and again on one connection, with other numbers each time."""

from collections.abc import Callable

from edge_agent.serving.http.body import Body
from edge_agent.serving.http.head import Head
from edge_agent.serving.http.known import FIRST_BYTES, Known
from edge_agent.serving.http.terms import Usual


class Habit:
    """`find` says what answers a request that came twice, as `Terms.usual` does. On the loop's thread."""

    __slots__ = ("_before", "_find", "known", "usual")

    def __init__(self, find: Callable[[bytes, Head, Body], Usual | None]) -> None:
        self._find = find
        self._before = b""
        self.usual: Usual | None = None
        """Answers the request that came twice."""
        self.known: Known | None = None
        """The same request, where it is longer than what is read at first."""

    def notice(self, prefix: bytes, head: Head, body: Body) -> None:
        """A request was read whose tensors lie behind `prefix`. What comes twice is likely to come again."""
        if prefix == self._before:
            self.usual = self._find(prefix, head, body)
            size = len(prefix) + len(body.binary or b"")
            is_long = self.usual is not None and size > FIRST_BYTES
            self.known = Known(prefix, head, body.json, size) if is_long else None
            # Not each time, where there is nothing to be had from it.
            self._before = b""
        else:
            self._before = prefix

    def keep(self, known: Known, body: Body) -> None:
        """`known` came once more, and is to be answered the long way: what answers it may be of another version."""
        if self.usual is None or self.usual.over:
            self.usual = self._find(known.prefix, known.head, body)
