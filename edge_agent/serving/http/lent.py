"""The request that a client sends again and again on one connection, the very same bytes: its tensors are in shared
memory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from edge_agent.serving.http.repeated import form, is_number
from edge_agent.serving.http.response import Response
from edge_agent.serving.http.status import answer_to
from edge_agent.serving.in_place import InPlace
from edge_agent.serving.placed import Placed
from edge_agent.serving.port import Answered, AnsweredInPlace, InputWrong, Standing
from edge_agent.serving.shared import Where
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest

if TYPE_CHECKING:
    from edge_agent.serving.http.inference import Asked


class Lent:
    """Recognized by all its bytes, `request`. What they say was found right when it came before; whether the regions
    still are what they were is looked at each time. `outputs` are the places of those that go to shared memory."""

    __slots__ = ("_asked", "_in_place", "_inputs", "_last", "_outputs", "_request", "_said", "_standing")

    def __init__(
        self,
        request: bytes,
        asked: "Asked",
        inputs: Placed,
        in_place: InPlace,
        outputs: Mapping[str, Where],
        standing: Standing,
    ) -> None:
        self._request = request
        self._asked = asked
        self._inputs = inputs
        self._in_place = in_place
        self._outputs = outputs
        self._standing = standing
        self._last: _Last | None = None
        self._said: tuple[Answered | None, bytes] = None, b""
        """All that is sent for an answer that was put in place."""

    @property
    def over(self) -> bool:
        """As `terms.Usual` says."""
        return self._standing.over

    @property
    def later(self) -> None:
        """As `terms.Usual` says."""
        return None

    def answer(self, data: bytes | memoryview, patient: bool) -> bytes | Response | None:
        """As `terms.Usual` says; all bytes where the answer has the form of the last."""
        if data != self._request:
            return None
        try:
            laid = self._in_place.laid()
            result = None if laid is None else self._standing.run_in_place(laid, patient)
            if result is None:
                result = self._fetched(patient)
            elif not self._in_place.lasts:
                # Somebody has unregistered it meanwhile: what was read may have been 0, and what was written is gone.
                self._standing.sent()
                return None
            elif result is self._said[0]:
                return self._said[1]
            if isinstance(result, Answered):
                return self._told(result)
            return None if result is None else answer_to(result)
        except Exception as error:  # noqa: BLE001, on the thread that all are served by
            return answer_to(error)

    def _fetched(self, patient: bool) -> Answered | VedetteError | None:
        """What comes of a copy of the tensors."""
        # Else what is fetched now would be fetched again.
        if not self._standing.ready(patient):
            return None
        try:
            tensors = self._inputs.fetch()
        except InputWrong:
            # The long way meets it, too, and tells whoever asks.
            return None
        return self._standing.run(tensors, patient)

    def sent(self) -> None:
        """The answer is on its way."""
        self._standing.sent()

    def _told(self, answered: Answered) -> bytes | Response:
        last = self._last
        if last is not None and last.manifest is answered.manifest and last.form == form(answered.outputs):
            if isinstance(answered, AnsweredInPlace):
                self._said = answered, last.message
            else:
                self._asked.put(answered, self._outputs)
            return last.message
        response = self._asked.response(answered)
        outputs = answered.outputs
        if all(name in self._outputs and self._outputs[name].region for name in outputs) and all(
            map(is_number, outputs.values())
        ):
            # It says where they are, and nothing that they hold.
            message = b"".join([response.head(closing=False), *response.parts])
            self._last = _Last(answered.manifest, form(outputs), message)
        return response


class _Last(msgspec.Struct, frozen=True, eq=False):
    """`message` is all of a response."""

    manifest: Manifest
    form: list[tuple[object, ...]]
    message: bytes
