"""Which call of gRPC's inference service is answered by what."""

import logging
import queue
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import grpc
from google.protobuf.json_format import ParseDict

from edge_agent.serving import documents
from edge_agent.serving.budget import Budget
from edge_agent.serving.port import (
    Answered,
    Engine,
    InputWrong,
    ModelUnknown,
    ModelUnready,
    Overloaded,
    ServingError,
    Ticket,
)
from edge_agent.serving.regions import Region, Regions
from edge_agent.serving.rpc import inference
from edge_agent.serving.rpc.messages import MESSAGES
from fleet_contract.errors import VedetteError

_log = logging.getLogger(__name__)
SERVICE = "inference.GRPCInferenceService"
_Answer: TypeAlias = Callable[[Any], Any]
_Behave: TypeAlias = Callable[[Any, grpc.ServicerContext], Any]
_NO_CUDA = "This device has no CUDA shared memory. Use system shared memory."


class NotOffered(ServingError):
    """The protocol knows it, and this device does not do it."""

    code = "not-offered"


class Service:
    """Answers calls with `engine`, each on the thread that it came on. `budget` is for what they ask with."""

    def __init__(self, engine: Engine, regions: Regions, budget: Budget) -> None:
        self._engine = engine
        self._regions = regions
        self._budget = budget

    def handler(self) -> grpc.GenericRpcHandler:
        """All calls, as gRPC takes them."""
        calls: dict[str, tuple[str, str, _Answer]] = {
            name: (f"{name}Request", f"{name}Response", answer)
            for name, answer in (
                ("ServerLive", lambda _: {"live": True}),
                ("ServerReady", lambda _: {"ready": documents.server_unready(self._engine) is None}),
                ("ModelReady", lambda asked: {"ready": self._engine.ready(asked.name, asked.version)}),
                ("ServerMetadata", lambda _: documents.server()),
                ("ModelMetadata", lambda asked: documents.metadata(self._manifest(asked))),
                ("ModelConfig", lambda asked: {"config": documents.config(self._manifest(asked))}),
                ("ModelStatistics", self._statistics),
                ("RepositoryIndex", lambda asked: {"models": documents.index(self._engine, only_ready=asked.ready)}),
            )
        }
        shared, nothing = "SharedMemoryRequest", "Nothing"
        status = "SystemSharedMemoryStatusResponse"
        calls |= {
            "SystemSharedMemoryStatus": (shared, status, self._regions_known),
            "SystemSharedMemoryRegister": ("SystemSharedMemoryRegisterRequest", nothing, self._register),
            "SystemSharedMemoryUnregister": (shared, nothing, self._unregister),
            "CudaSharedMemoryStatus": (shared, status, lambda _: {}),
            "CudaSharedMemoryRegister": (shared, nothing, _no_cuda),
            "CudaSharedMemoryUnregister": (shared, nothing, lambda _: {}),
            "RepositoryModelLoad": (nothing, nothing, _not_yours),
            "RepositoryModelUnload": (nothing, nothing, _not_yours),
        }
        methods = {name: _method(asked, told, _plain(answer)) for name, (asked, told, answer) in calls.items()}
        methods["ModelInfer"] = _method("ModelInferRequest", "ModelInferResponse", self._infer)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _manifest(self, asked: Any) -> Any:
        return self._engine.manifest(asked.name, asked.version)

    def _statistics(self, asked: Any) -> documents.Document:
        return documents.statistics(self._engine, asked.name, asked.version)

    def _infer(self, request: Any, context: grpc.ServicerContext) -> Any:
        # gRPC has read it by itself; what waits to be answered is counted. The largest may be all that there is room
        # for, and what describes its tensors comes on top of it.
        size = min(request.ByteSize(), self._budget.most_bytes)
        if not self._budget.reserve(size):
            raise Overloaded("Other requests fill the memory that bodies may take.", "Ask again later.")
        try:
            return self._inferred(request, context)
        finally:
            self._budget.reserve(-size)

    def _inferred(self, request: Any, context: grpc.ServicerContext) -> Any:
        call = inference.understand(request, self._regions)
        told: queue.SimpleQueue[Answered | VedetteError] = queue.SimpleQueue()
        ticket = self._engine.submit(call, told.put)
        if ticket is not None and not context.add_callback(partial(_call_off, ticket, told)):
            _call_off(ticket, told)
        answered = told.get()
        if not isinstance(answered, Answered):
            raise answered
        return inference.answer(request, answered, self._regions)

    def _regions_known(self, asked: Any) -> documents.Document:
        return {
            "regions": [
                {
                    "key": one.name,
                    "value": {"name": one.name, "key": one.key, "offset": one.offset, "byte_size": one.byte_size},
                }
                for one in self._regions.registered(asked.name)
            ]
        }

    def _register(self, asked: Any) -> documents.Document:
        self._regions.register(Region(asked.name, asked.key, asked.offset, asked.byte_size))
        return {}

    def _unregister(self, asked: Any) -> documents.Document:
        self._regions.unregister(asked.name)
        return {}


def _call_off(ticket: Ticket, told: "queue.SimpleQueue[Answered | VedetteError]") -> None:
    """The client is gone, or has its answer: nobody waits for one any more."""
    ticket.cancel()
    told.put(ModelUnready("The client is gone."))


def _plain(answer: _Answer) -> _Behave:
    return lambda request, _: answer(request)


def _no_cuda(_: Any) -> documents.Document:
    raise NotOffered(_NO_CUDA)


def _not_yours(_: Any) -> documents.Document:
    raise NotOffered("Which models run here is decided by the hub. Roll them out there.")


def _method(asked: str, told: str, answer: _Behave) -> grpc.RpcMethodHandler:
    response = MESSAGES[told]

    def behave(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            found = answer(request, context)
            return ParseDict(found, response()) if isinstance(found, dict) else found
        except VedetteError as error:
            status, words, code = _status(error), str(error), error.code
        except Exception:  # noqa: BLE001
            # Whatever one client asks for must not be told to it as an exception of ours.
            _log.exception("a call could not be answered")
            status, words = grpc.StatusCode.INTERNAL, "The agent failed; its log says why."
            code = "agent-failed"
        context.set_code(status)
        context.set_details(words)
        context.set_trailing_metadata((("code", code),))
        return response()

    return grpc.unary_unary_rpc_method_handler(
        behave,
        request_deserializer=MESSAGES[asked].FromString,
        response_serializer=response.SerializeToString,
    )


def _status(error: VedetteError) -> grpc.StatusCode:
    match error:
        case InputWrong():
            return grpc.StatusCode.INVALID_ARGUMENT
        case ModelUnknown():
            return grpc.StatusCode.NOT_FOUND
        case ModelUnready():
            return grpc.StatusCode.UNAVAILABLE
        case Overloaded():
            return grpc.StatusCode.RESOURCE_EXHAUSTED
        case NotOffered():
            return grpc.StatusCode.UNIMPLEMENTED
        case _:
            return grpc.StatusCode.INTERNAL
