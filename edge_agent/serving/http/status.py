"""Which HTTP status an error has: the only file of the agent that decides it."""

import logging
from typing import Self

from edge_agent.serving.http.response import Response, document
from edge_agent.serving.port import InputWrong, ModelUnknown, ModelUnready, Overloaded, ServingError
from fleet_contract.errors import VedetteError

_log = logging.getLogger(__name__)
_UNREADY_SECONDS = 1
_SMALLER = (
    "Send less at once, or set serving.body_max_bytes of the agent: unset, it is an eighth of the memory here, 64 MiB "
    "at most."
)


class Refused(ServingError):
    """A request that no model was asked. `closes` when what follows on the connection cannot be understood."""

    code = "request-refused"

    def __init__(
        self, status: int, code: str, what: str, remedy: str = "", *, fields: bytes = b"", closes: bool = False
    ) -> None:
        super().__init__(what, remedy, code=code)
        self.status = status
        self.fields = fields
        self.closes = closes

    @classmethod
    def bad(cls, what: str) -> Self:
        """Where the next request begins is not known after it."""
        return cls(400, "request-malformed", what, closes=True)

    @classmethod
    def wrong(cls, what: str) -> Self:
        return cls(400, "request-wrong", what)

    @classmethod
    def unsupported(cls, what: str) -> Self:
        return cls(415, "encoding-unknown", what, closes=True)

    @classmethod
    def forbidden(cls, what: str) -> Self:
        return cls(403, "not-yours", what)

    @classmethod
    def missing(cls, what: str) -> Self:
        return cls(404, "nothing-there", what)

    @classmethod
    def method(cls, method: str, path: str, allowed: str) -> Self:
        what = f"{path} takes {allowed}, not {method}."
        return cls(405, "method-wrong", what, fields=f"Allow: {allowed}\r\n".encode())

    @classmethod
    def late(cls, what: str) -> Self:
        return cls(408, "request-late", what, closes=True)

    @classmethod
    def large(cls, what: str, remedy: str = _SMALLER) -> Self:
        return cls(413, "body-too-large", what, remedy, closes=True)

    @classmethod
    def misdirected(cls, host: str) -> Self:
        return cls(421, "host-foreign", f"{host!r} is not this device. Ask for localhost.", closes=True)

    @classmethod
    def long_head(cls, limit: int) -> Self:
        return cls(431, "head-too-long", f"The headers are longer than {limit} bytes.", closes=True)

    @classmethod
    def busy(cls, what: str, remedy: str = "", retry_after_seconds: int = 1) -> Self:
        fields = b"Retry-After: %d\r\n" % retry_after_seconds
        return cls(503, "overloaded", what, remedy, fields=fields, closes=True)


def answer_to(error: BaseException) -> Response:
    """The response that tells `error`. What is no `VedetteError` is logged, and its words stay here."""
    match error:
        case Refused():
            status, fields, closes = error.status, error.fields, error.closes
        case InputWrong():
            status, fields, closes = 400, b"", False
        case ModelUnknown():
            status, fields, closes = 404, b"", False
        case ModelUnready():
            status, fields, closes = 503, b"Retry-After: %d\r\n" % _UNREADY_SECONDS, False
        case Overloaded():
            status, fields, closes = 503, b"Retry-After: %d\r\n" % error.retry_after_seconds, False
        case VedetteError():
            status, fields, closes = 500, b"", False
        case _:
            _log.error("a request could not be answered", exc_info=error)
            return document({"error": "The agent failed; its log says why.", "code": "agent-failed"}, status=500)
    # A client's own words are in it, and may be no text.
    words = str(error).encode(errors="replace").decode()
    told = document({"error": words, "code": error.code}, status=status, fields=fields)
    return Response(told.status, told.fields, told.parts, closes)
