"""What a client sends on one connection, until it is a whole request; and the memory that this counts for."""

import socket

from edge_agent.serving.http.body import Arriving, Body, Chunked, Sized, check_json, split
from edge_agent.serving.http.habit import Habit
from edge_agent.serving.http.head import HEAD_MAX_BYTES, Head, read_head
from edge_agent.serving.http.known import FIRST_BYTES, knowable
from edge_agent.serving.http.status import Refused
from edge_agent.serving.http.terms import Terms

#: Of one body in one turn: then others have theirs.
_TURN_BYTES = 4 * 1024 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: What comes before the tensors of a request that may be a habit. A longer one is read each time.
_PREFIX_MAX_BYTES = 4096


class Inbox:
    """One request at a time, whose memory counts until `give_back`; what comes behind it is left in `rest` until then.
    On the loop's thread, but `rest`, `head_only` and `give_back`: these are for whoever answers, and `held_bytes` for
    anybody.

    `habit` is told of what can be known again. Whatever reads raises `Refused` for what is not answered any other way,
    and `OSError` where the client is gone.
    """

    __slots__ = ("_begun", "_habit", "_reserved", "_socket", "_terms", "arriving", "head_only", "rest")

    def __init__(self, client: socket.socket, terms: Terms, habit: Habit) -> None:
        self._socket = client
        self._terms = terms
        self._habit = habit
        self.arriving: tuple[Head, Arriving] | None = None
        """A request whose body is not all there."""
        self._begun = b""
        """What the body that arrives may be known again by."""
        self._reserved = 0
        self.rest = b""
        """What was read and is part of no request yet."""
        self.head_only = False
        """Whether the request that was read last is to be answered without a body."""

    @property
    def held_bytes(self) -> int:
        """What it keeps of a body until that is answered, and of the requests behind it."""
        arriving = self.arriving
        body = self._reserved if arriving is None else arriving[1].arrived_bytes
        return body + len(self.rest)

    def understand(self, data: bytes) -> tuple[Head, Body] | None:
        """The request that `data` begins with, if all of it is there or can be read now."""
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_MAX_BYTES:
            if len(data) > HEAD_MAX_BYTES:
                raise Refused.long_head(HEAD_MAX_BYTES)
            self.rest = data
            return None
        self.rest = b""
        head = read_head(data[:end])
        self.head_only = head.method == "HEAD"
        if self._terms.hosts is not None and _name(head.host) not in self._terms.hosts:
            raise Refused.misdirected(head.host)
        start = end + 4
        if head.length > self._terms.body_max_bytes:
            raise Refused.large(f"The body has {head.length} bytes, and {self._terms.body_max_bytes} may be.")
        # Told before it is sent, where that can be.
        check_json(head.length if head.json_length < 0 else head.json_length)
        if 0 <= head.length <= len(data) - start:
            return head, self._whole(head, data, start)
        cut = start + head.json_length
        is_there = cut <= min(len(data), _PREFIX_MAX_BYTES)
        self._begun = data[:cut] if is_there and knowable(cut, head) else b""
        return self._begin(head, data[start:])

    def receive(self) -> tuple[Head, Body] | None:
        """The request whose body is `arriving`, if the rest of it can be read now."""
        assert self.arriving is not None, "a body has begun"
        return self._receive(*self.arriving)

    def reserve(self, size: int) -> None:
        """So much is to count for what it is asked with now. Raises `Refused`."""
        if not self._terms.reserve(size - self._reserved):
            raise Refused.busy("Other requests fill the memory that bodies may take.")
        self._reserved = size

    def give_back(self) -> None:
        """What was asked with is answered."""
        if self._reserved:
            self._terms.reserve(-self._reserved)
            self._reserved = 0

    def drop(self) -> None:
        """What has come is not to be answered."""
        self.arriving = None
        self.rest = b""

    def _whole(self, head: Head, data: bytes, start: int) -> Body:
        """The body that begins at `start`, all of which is there."""
        if head.length > FIRST_BYTES:
            # It was read as another that is known.
            self.reserve(head.length)
        stop = start + head.length
        self.rest = data[stop:]
        cut = start + head.json_length if 0 <= head.json_length <= head.length else -1
        if cut >= 0 and not head.encoding:
            # Cut out apart, tensors begin at an address that can be read from.
            body = Body(data[start:cut], data[cut:stop])
        else:
            body, cut = self._split(head, data[start:stop]), stop
        if cut <= _PREFIX_MAX_BYTES and head.length and not head.encoding and not self.rest:
            self._habit.notice(data[:cut], head, body)
        return body

    def _begin(self, head: Head, begun: bytes) -> tuple[Head, Body] | None:
        self.reserve(max(0, head.length))
        arriving: Arriving = Sized(head) if head.length >= 0 else Chunked(self._terms.body_max_bytes)
        self.arriving = (head, arriving)
        while begun:
            room = arriving.room()
            if not room:
                break
            part = begun[: len(room)]
            room[: len(part)] = part
            arriving.filled(len(part))
            begun = begun[len(part) :]
        if head.expects_continue and arriving.room():
            self._socket.send(_CONTINUE)
        return self._receive(head, arriving, begun)

    def _receive(self, head: Head, arriving: Arriving, behind: bytes = b"") -> tuple[Head, Body] | None:
        turn, drained = 0, False
        while room := arriving.room():
            if drained or turn > _TURN_BYTES:
                return None
            try:
                count = self._socket.recv_into(room)
            except BlockingIOError:
                return None
            if not count:
                raise ConnectionResetError("The client has left in the middle of a body.")
            turn += count
            # Whoever reads less than there is room for has read all there is: to be told so would be one more call.
            drained = count < len(room)
            arriving.filled(count)
            if arriving.arrived_bytes > self._reserved:
                # Nobody knows how long it will be. The most that it may would be too much for a few numbers.
                self.reserve(min(2 * arriving.arrived_bytes, self._terms.body_max_bytes))
        data, rest = arriving.take()
        self.reserve(len(data))
        self.arriving = None
        self.rest = rest + behind
        body = self._split(head, data)
        known = self._habit.known
        if self._begun and not self.rest and (known is None or known.prefix != self._begun):
            self._habit.notice(self._begun, head, body)
        return head, body

    def _split(self, head: Head, data: bytes | memoryview) -> Body:
        """The parts of `data`, which count as what they unpack to."""
        body = split(head, data, self._terms.body_max_bytes)
        if head.encoding:
            self.reserve(len(body.json) + len(body.binary or b""))
        return body


def _name(host: str) -> str:
    """The host without its port."""
    return host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()
