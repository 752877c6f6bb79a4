"""Which request is answered by what: the paths of the Open Inference Protocol and of Triton's extensions."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TypeAlias, TypeVar
from urllib.parse import unquote

import msgspec

from edge_agent.serving import documents
from edge_agent.serving.http.body import Body
from edge_agent.serving.http.head import Head
from edge_agent.serving.http.holding import Holding
from edge_agent.serving.http.response import Respond, Response, document
from edge_agent.serving.http.status import Refused, answer_to
from edge_agent.serving.http.terms import Usual
from edge_agent.serving.port import Answered, Engine, ModelUnready, Ticket
from edge_agent.serving.regions import Region, Regions, RegionUnknown
from fleet_contract.errors import VedetteError

_Answer: TypeAlias = Callable[[Body], Response]
_Content = TypeVar("_Content", bound=msgspec.Struct)
#: What a request says of a tensor that lies in shared memory.
_REGION = b'"shared_memory_region"'
_NO_CUDA = "This device has no CUDA shared memory. Use system shared memory."


class _Place(msgspec.Struct, frozen=True):
    """The body of a region's registration."""

    key: str
    byte_size: int
    offset: int = 0


class _Made(msgspec.Struct, frozen=True):
    """The body of a wish for memory."""

    byte_size: int


class _Wanted(msgspec.Struct, frozen=True):
    """The body of a question for the index."""

    ready: bool = False


class Routes:
    """Answers requests with `engine`. Safe for any thread."""

    def __init__(self, engine: Engine, regions: Regions) -> None:
        self.aside = regions.aside
        self._engine = engine
        self._regions = regions
        self._inference: ModuleType | None = None

    def handle(self, head: Head, body: Body, respond: Respond, patient: bool = False) -> Ticket | None:
        """Calls `respond` exactly once, whatever is asked: now, or on the engine's thread when it has the answer.

        `patient` says that this thread has nothing else to do until then.
        """
        try:
            parts = _parts(head.path)
            if parts[-1] == "infer" and parts[0] == "models" and len(parts) > 2:
                return self._infer(head, parts, body, respond, patient)
            method, answer = self._route(head.path, parts)
            if head.method != method and not (head.method == "HEAD" and method == "GET"):
                raise Refused.method(head.method, head.path, "GET, HEAD" if method == "GET" else method)
            response = answer(body)
        except Exception as error:  # noqa: BLE001
            # Whatever one client asks for must not end what all are served by; it is logged where it is told.
            response = answer_to(error)
        respond(response)
        return None

    def prepare(self) -> None:
        """Imports what answers inferences, before the first is asked for. It brings NumPy: to be called where that is
        there, or is needed anyway."""
        self._imported()

    def usual(self, prefix: bytes, head: Head, body: Body) -> Usual | None:
        """A request that came twice, with all of its bytes in `prefix` but the tensors behind it; None where each is to
        be looked at anew."""
        inference = self._inference
        if inference is None or head.method != "POST":
            return None
        if body.binary is None and _REGION not in body.json:
            # Its tensors are numbers in JSON, which are others each time.
            return None
        try:
            parts = _parts(head.path)
            if parts[-1] != "infer":
                return None
            asked = inference.understand(*_named(head.path, parts[:-1]), body, self._engine, self._regions)
            found: Usual | None = asked.usual(prefix, self._engine)
        except Exception:  # noqa: BLE001
            # `handle` meets it, too, and tells whoever asks.
            return None
        return found

    def _infer(self, head: Head, parts: list[str], body: Body, respond: Respond, patient: bool) -> Ticket | None:
        model, version = _named(head.path, parts[:-1])
        if head.method != "POST":
            raise Refused.method(head.method, head.path, "POST")
        if (inference := self._inference) is None:
            # Before the first model there is nothing to bring NumPy for.
            self._engine.manifest(model, version)
            inference = self._imported()
        asked = inference.understand(model, version, body, self._engine, self._regions)

        def done(answered: Answered | VedetteError) -> None:
            try:
                response = asked.response(answered) if isinstance(answered, Answered) else answer_to(answered)
            except Exception as error:  # noqa: BLE001
                # On the engine's thread, which has others to answer.
                response = answer_to(error)
            respond(response)

        return self._engine.submit(asked.call, done, patient)

    def _imported(self) -> ModuleType:
        from edge_agent.serving.http import inference

        self._inference = inference
        return inference

    def _route(self, path: str, parts: list[str]) -> tuple[str, _Answer]:
        match parts:
            case [""]:
                return "GET", lambda _: document(documents.server())
            case ["health", "live"]:
                return "GET", lambda _: document({"live": True})
            case ["health", "ready"]:
                return "GET", self._ready
            case ["models", "stats"]:
                return "GET", lambda _: document(documents.statistics(self._engine))
            case ["models", *named, "ready"] if named:
                return "GET", partial(self._model_ready, *_named(path, ["models", *named]))
            case ["models", *named, "config"] if named:
                return "GET", partial(self._config, *_named(path, ["models", *named]))
            case ["models", *named, "stats"] if named:
                return "GET", partial(self._statistics, *_named(path, ["models", *named]))
            case ["models", *named] if named:
                return "GET", partial(self._metadata, *_named(path, parts))
            case ["repository", "index"]:
                return "POST", self._index
            case ["repository", "models", _, "load" | "unload"]:
                return "POST", _not_yours
            case ["systemsharedmemory" | "cudasharedmemory" as kind, *rest]:
                return self._memory(path, kind, rest)
            case _:
                raise Refused.missing(f"There is nothing at {path}.")

    def _ready(self, _: Body) -> Response:
        if (unready := documents.server_unready(self._engine)) is not None:
            return answer_to(unready)
        return document({"ready": True})

    def _model_ready(self, model: str, version: str, _: Body) -> Response:
        if not self._engine.ready(model, version):
            # Tells the unknown from what is not ready.
            self._engine.manifest(model, version)
            raise ModelUnready(f"Model {model!r} is not ready yet.", "Ask again.")
        return document({"name": model, "ready": True})

    def _metadata(self, model: str, version: str, _: Body) -> Response:
        return document(documents.metadata(self._engine.manifest(model, version)))

    def _config(self, model: str, version: str, _: Body) -> Response:
        return document(documents.config(self._engine.manifest(model, version)))

    def _statistics(self, model: str, version: str, _: Body) -> Response:
        return document(documents.statistics(self._engine, model, version))

    def _index(self, body: Body) -> Response:
        wanted = _read(body, _Wanted)
        return document(documents.index(self._engine, only_ready=wanted.ready))

    def _memory(self, path: str, kind: str, rest: list[str]) -> tuple[str, _Answer]:
        match rest:
            case ["status"]:
                name, verb = "", "status"
            case ["unregister"]:
                name, verb = "", "unregister"
            case ["region", name, "create"] if name and kind == "systemsharedmemory":
                return "POST", partial(self._create, name)
            case ["region", name, "status" | "register" | "unregister" as verb] if name:
                pass
            case _:
                raise Refused.missing(f"There is nothing at {path}.")
        cuda = kind == "cudasharedmemory"
        match verb:
            case "status":
                return "GET", partial(_no_cuda_regions, name) if cuda else partial(self._regions_known, name)
            case "register":
                return "POST", _no_cuda if cuda else partial(self._register, name)
            case _:
                return "POST", _nothing if cuda else partial(self._unregister, name)

    def _regions_known(self, name: str, _: Body) -> Response:
        try:
            return document(self._regions.registered(name))
        except RegionUnknown as error:
            raise Refused.missing(str(error)) from error

    def _register(self, name: str, body: Body) -> Response:
        place = _read(body, _Place)
        self._regions.register(Region(name, place.key, place.offset, place.byte_size))
        return document({})

    def _create(self, name: str, body: Body) -> Response:
        size = _read(body, _Made).byte_size

        def memory() -> Holding:
            return Holding(self._regions, *self._regions.create(name, size))

        told = document(Region(name, "", 0, size))
        return Response(told.status, told.fields, told.parts, memory=memory)

    def _unregister(self, name: str, _: Body) -> Response:
        self._regions.unregister(name)
        return document({})


def _parts(path: str) -> list[str]:
    """The path below /v2, in its parts. Raises `Refused`."""
    if path != "/v2" and not path.startswith("/v2/"):
        raise Refused.missing(f"There is nothing at {path}. The protocol begins at /v2.")
    parts = path[4:].removesuffix("/").split("/")
    return [unquote(part) for part in parts] if "%" in path else parts


def _named(path: str, parts: list[str]) -> tuple[str, str]:
    """The model and version in `parts`, "" for any version. Raises `Refused`."""
    match parts:
        case ["models", model] if model:
            return model, ""
        case ["models", model, "versions", version] if model and version:
            return model, version
        case _:
            raise Refused.missing(f"There is nothing at {path}.")


def _read(body: Body, kind: type[_Content]) -> _Content:
    """The JSON in `body`; nothing is all defaults. Raises `Refused`."""
    try:
        return msgspec.json.decode(body.json or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused.wrong(f"The body is wrong: {error}.") from error


def _no_cuda(_: Body) -> Response:
    raise Refused.wrong(_NO_CUDA)


def _no_cuda_regions(name: str, _: Body) -> Response:
    if name:
        raise Refused.missing(_NO_CUDA)
    return document([])


def _nothing(_: Body) -> Response:
    return document({})


def _not_yours(_: Body) -> Response:
    raise Refused.forbidden("Which models run here is decided by the hub. Roll them out there.")
