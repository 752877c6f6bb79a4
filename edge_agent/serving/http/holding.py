"""Memory that goes with a response over a Unix socket, and stays for as long as the connection."""

import os
import socket
from array import array

from edge_agent.serving.regions import Entry, Regions


class Holding:
    """A client's hold on sealed memory. On the loop's thread."""

    __slots__ = ("_descriptor", "_entry", "_regions")

    def __init__(self, regions: Regions, entry: Entry, descriptor: int) -> None:
        self._regions = regions
        self._entry = entry
        self._descriptor = descriptor

    @property
    def lasts(self) -> bool:
        """Whether it is still registered."""
        return self._regions.holds(self._entry)

    def ancillary(self) -> list[tuple[int, int, "array[int]"]]:
        """What `sendmsg` is to take along with the first byte."""
        return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [self._descriptor]))]

    def sent(self) -> None:
        """The client has it, or never will."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def end(self) -> None:
        """The connection is over: the region is unregistered."""
        self.sent()
        self._regions.drop(self._entry)
