"""What a connection is told by whoever serves it: who answers, and what may be asked of the device."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from edge_agent.serving.http.body import Body
from edge_agent.serving.http.crowd import Crowd
from edge_agent.serving.http.head import Head
from edge_agent.serving.http.response import Respond, Response
from edge_agent.serving.port import Ticket

if TYPE_CHECKING:
    from edge_agent.serving.http.connection import Connection

Handle: TypeAlias = Callable[[Head, Body, Respond, bool], Ticket | None]


class Later(Protocol):
    """A request that is not read before there is time to run it, by whoever runs it."""

    def waits(self, patient: bool) -> bool:
        """Whether it is to be left unread, and `wait` to be asked."""
        ...

    def wait(self, begin: Callable[[bool], None]) -> Ticket | None:
        """Has `begin` called once on another's thread, when there is time: with True, it is to be read, and
        `answer_next` to be asked there; with False, it is to be answered as any other. None where too many wait."""
        ...

    def room(self) -> memoryview | None:
        """On the thread that `wait` has found, where it is best read to; None for anywhere. Only `answer_next` may be
        asked then, or what was read is to be copied."""
        ...

    def answer_next(self, data: bytes | memoryview) -> bytes | Response | None:
        """As `Usual.answer`, on the thread that `wait` has found."""
        ...

    def sent(self) -> None:
        """As `Usual` says."""
        ...


class Usual(Protocol):
    """A request that came twice on a connection, and is known again by its bytes."""

    @property
    def over(self) -> bool:
        """Whether it will never answer again, and another is to be had in its place."""
        ...

    @property
    def later(self) -> Later | None:
        """The same for when it cannot be answered at once; None where it is to be read in any case."""
        ...

    def answer(self, data: bytes | memoryview, patient: bool) -> bytes | Response | None:
        """The answer to `data`, as all its bytes where they are known; None where that is not this request once more
        and nothing else, or is to be answered the long way. Raises nothing."""
        ...

    def sent(self) -> None:
        """The answer is on its way. To be called before anything else is asked."""
        ...


class Terms(msgspec.Struct, frozen=True):
    """What holds for all connections of a listener."""

    handle: Handle
    """Calls its `Respond` once, from any thread; on another's, there is a ticket to call it off. Last comes whether
    this thread has nothing else to do meanwhile."""
    usual: Callable[[bytes, Head, Body], Usual | None]
    """What answers a request that came twice, whose bytes before the tensors, if these follow, are given first."""
    body_max_bytes: int
    hosts: frozenset[str] | None
    """The names that the device may be asked by; None for any. A web page that has its own name point here has not."""
    lend: Callable[[Callable[[], None]], None]
    """Has a call that makes memory made on a thread that serves nobody, once the memory of those who are gone is free
    again."""
    reserve: Callable[[int], bool]
    """Whether a body of so many bytes may be read now; a negative number gives that many back. Raises `Refused` where
    it is not for other requests that it may not."""
    ended: Callable[["Connection"], None]
    """Hears of each that has ended."""
    crowd: Crowd
