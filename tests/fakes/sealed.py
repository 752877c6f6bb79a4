"""Memory that an agent has made, as its client gets it."""

import json
import mmap
import os
import socket

from tests.fakes.wire import Wire, request


def a_region(wire: Wire, name: str, size: int) -> mmap.mmap:
    """Asks for `size` bytes as the region `name`."""
    descriptor = handed_over(wire, name, size)
    found = mmap.mmap(descriptor, size)
    os.close(descriptor)
    return found


def handed_over(wire: Wire, name: str, size: int) -> int:
    """The same as a file that is open."""
    wire.send(request("POST", f"/v2/systemsharedmemory/region/{name}/create", b'{"byte_size": %d}' % size))
    answer, descriptors, _, _ = socket.recv_fds(wire.socket, 4096, 4)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    (descriptor,) = descriptors
    assert json.loads(body) == {"name": name, "key": "", "offset": 0, "byte_size": size}
    return descriptor
