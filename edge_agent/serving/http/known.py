"""A request that is known before it is read: how long it is, and what comes before its tensors."""

import msgspec

from edge_agent.serving.http.body import Body, room_for
from edge_agent.serving.http.head import Head

#: What is read at first: a head, and with most requests all there is. What a large body has beyond it is not copied.
#: Only a longer request is known before it is read.
FIRST_BYTES = 16 * 1024
#: What a Unix socket holds of one at most. Of a larger one only a part is there at first.
_MAX_BYTES = 192 * 1024


class Known(msgspec.Struct, frozen=True, eq=False):
    """The last request of a connection, all `size_bytes` of which may come once more, with other tensors.

    It is read in one piece, to where a model can read its tensors, and told by its first bytes: what the head and the
    JSON say was looked at when they came before.
    """

    prefix: bytes
    head: Head
    json: bytes
    size_bytes: int

    def room(self) -> memoryview:
        """Where all of it may be written. Raises `Refused`."""
        return room_for(len(self.prefix), self.size_bytes)

    def copy(self, data: memoryview) -> memoryview:
        """`data` in memory of its own. Raises `Refused`."""
        room = self.room()[: len(data)]
        room[:] = data
        return room

    def body(self, data: memoryview) -> Body | None:
        """The body of the request that `data` is; None where it is another, or not all of it."""
        cut = len(self.prefix)
        if len(data) != self.size_bytes or data[:cut] != self.prefix:
            return None
        return Body(self.json, data[cut:])


def knowable(cut: int, head: Head) -> bool:
    """Whether there is a point in knowing a request whose tensors begin after `cut` bytes."""
    return (
        not head.encoding and 0 <= head.json_length < head.length and cut + head.length - head.json_length <= _MAX_BYTES
    )
