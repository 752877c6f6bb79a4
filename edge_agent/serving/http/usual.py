"""The request that a client sends again and again on one connection, the same but for the bytes of its tensors."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from edge_agent.serving.http.response import Part, Response
from edge_agent.serving.http.status import answer_to
from edge_agent.serving.port import Answered, Standing, Ticket
from fleet_contract.errors import VedetteError

if TYPE_CHECKING:
    # They bring NumPy, which comes with the first model.
    from edge_agent.serving.http.inference import Asked
    from edge_agent.serving.http.repeated import Repeated

#: Of an answer whose memory is kept for the next.
_KEPT_MAX_BYTES = 128 * 1024


class Usual:
    """Recognized by its first bytes, `prefix`: the head and the JSON, up to the tensors. All that they say was read and
    found right when it came before."""

    __slots__ = ("_answered", "_asked", "_cut", "_message", "_prefix", "_repeated", "_size_bytes", "_standing")

    def __init__(self, prefix: bytes, asked: "Asked", repeated: "Repeated", standing: Standing) -> None:
        self._prefix = prefix
        self._cut = len(prefix)
        self._repeated = repeated
        self._size_bytes = self._cut + repeated.packed.size_bytes
        self._asked = asked
        self._standing = standing
        self._answered: Answered | None = None
        self._message: list[Part] = []

    @property
    def over(self) -> bool:
        """As `terms.Usual` says."""
        return self._standing.over

    @property
    def later(self) -> "Usual":
        """As `terms.Usual` says."""
        return self

    def answer(self, data: bytes | memoryview, patient: bool) -> bytes | Response | None:
        """As `terms.Usual` says; all bytes where the answer has the form of the last."""
        if len(data) != self._size_bytes or data[: self._cut] != self._prefix:
            return None
        try:
            # Of bytes, tensors begin at an address that can be read from where they are cut out apart.
            return self._told(self._standing.run(data[self._cut :], patient))
        except Exception as error:  # noqa: BLE001, on the thread that all are served by
            return answer_to(error)

    def waits(self, patient: bool) -> bool:
        """As `terms.Later` says."""
        return self._standing.waits(patient)

    def wait(self, begin: Callable[[bool], None]) -> Ticket | None:
        """As `terms.Later` says."""
        return self._standing.wait(begin)

    def room(self) -> memoryview | None:
        """As `terms.Later` says."""
        return self._standing.room_next(self._cut)

    def answer_next(self, data: bytes | memoryview) -> bytes | Response | None:
        """As `terms.Later` says."""
        if len(data) != self._size_bytes or data[: self._cut] != self._prefix:
            return None
        try:
            told = self._told(self._standing.run_next(data[self._cut :]))
        except Exception as error:  # noqa: BLE001, on a thread that has others to answer
            return answer_to(error)
        if isinstance(told, Response):
            # What its outputs lie in may be another's before all of it is sent.
            return msgspec.structs.replace(told, parts=tuple(map(bytes, told.parts)))
        return told

    def _told(self, result: Answered | VedetteError | None) -> bytes | Response | None:
        if result is not None and result is self._answered:
            # Other numbers in the same memory.
            return b"".join(self._message)
        if not isinstance(result, Answered):
            return None if result is None else answer_to(result)
        message = self._repeated.message(result)
        if message is None:
            return self._asked.response(result)
        # A longer one does not come back in the same memory, and may be megabytes.
        is_short = sum(map(len, message)) <= _KEPT_MAX_BYTES
        self._answered, self._message = (result, message) if is_short else (None, [])
        return b"".join(message)

    def sent(self) -> None:
        """The answer is on its way."""
        self._standing.sent()
