"""How much of a device's memory the bodies of requests may take. No I/O, no clock."""

import msgspec

#: Where the device has it and its owner has set nothing.
BODY_BYTES = 64 * 1024 * 1024
#: How many of the largest bodies may be there at once, where there is memory for them.
BODIES_AT_ONCE = 4
#: All bodies together take no more than this part of the memory, which is what the agent may grow by beside them: a
#: quarter is left for the models.
_SHARE = 4
#: A single one takes no more than half of that, so that a second can be read while it is answered.
_SINGLE_SHARE = 2 * _SHARE
#: gRPC reads by itself whatever comes, for all calls at once, and has each message three times until it is understood:
#: four of 32 MB ended an agent of 256 MB.
_MESSAGE_SHARE = 64


class Room(msgspec.Struct, frozen=True):
    """For one body of a request, for all that arrive or are not answered yet, and for one message of gRPC's."""

    body_bytes: int
    bodies_bytes: int
    message_bytes: int


def room(body_max_bytes: int, allotted_bytes: int) -> Room:
    """Of a device, or a control group, that has `allotted_bytes`. The largest body is what its owner says, also where
    the memory is small for it; 0 leaves that to the memory."""
    body = body_max_bytes or min(BODY_BYTES, allotted_bytes // _SINGLE_SHARE)
    message = body_max_bytes or min(BODY_BYTES, allotted_bytes // _MESSAGE_SHARE)
    return Room(body, min(BODIES_AT_ONCE * body, max(body, allotted_bytes // _SHARE)), message)
