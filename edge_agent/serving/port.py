"""What lies between a protocol (HTTP, gRPC) and the models: one call in, one answer or one error out."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from edge_agent.runtimes.session import Array
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest

if TYPE_CHECKING:
    # They bring NumPy, which comes with the first model.
    from edge_agent.serving.in_place import Laid
    from edge_agent.serving.packed import Packed


class Call(msgspec.Struct, frozen=True):
    """One inference request. `version` is "" when any will do; `outputs` are the names asked for, () for all.

    A tensor of dtype BYTES is an array of `bytes` objects, in `inputs` as in the answer's outputs. The engine may keep
    `inputs` for as long as it likes, for telemetry and a shadow look at them after the answer: nobody writes to them
    any more.
    """

    model: str
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...] = ()
    version: str = ""
    truth: tuple[str, ...] = ()
    """The true label of each record, where whoever asks knows them: then telemetry says how many were right."""


class Answered(msgspec.Struct, frozen=True):
    """The outputs asked for, and the manifest of the very version that computed them."""

    manifest: Manifest
    outputs: Mapping[str, Array]


class AnsweredInPlace(Answered, frozen=True):
    """The same, with the outputs in their rooms already (`in_place.Laid`). The next comes back in the same object."""


Done: TypeAlias = Callable[[Answered | VedetteError], None]


class ServingError(VedetteError):
    """A request that was not answered. Protocols map these classes, and nothing else, to their statuses."""

    code = "serving-error"


class InputWrong(ServingError):
    """The caller's fault: a tensor is missing, unknown, or of another dtype or shape. The message names it."""

    code = "input-wrong"


class ModelUnknown(ServingError):
    """No such model or version is served here."""

    code = "model-unknown"


class ModelUnready(ServingError):
    """The model is known and cannot answer now: it is being fetched or loaded."""

    code = "model-unready"


class Overloaded(ServingError):
    """The queue is full: come again after `retry_after_seconds`."""

    code = "overloaded"

    def __init__(self, what: str, remedy: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(what, remedy)
        self.retry_after_seconds = retry_after_seconds


class BatchStatistics(Protocol):
    """Of the runs of one number of rows: how many, and nanoseconds summed up over them."""

    count: int
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int


class Statistics(Protocol):
    """Of one model version, in Triton's terms: counts, and nanoseconds summed up over calls."""

    inference_count: int
    execution_count: int
    last_inference_ms: int
    success_count: int
    success_ns: int
    fail_count: int
    fail_ns: int
    queue_ns: int
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int

    @property
    def batches(self) -> Mapping[int, BatchStatistics]:
        """By number of rows."""
        ...


class Ticket(Protocol):
    """A call that waits."""

    def cancel(self) -> None:
        """The caller is gone: if the call has not begun, it never will, and `done` is not called."""
        ...


class Standing(Protocol):
    """A call that is made again and again, with other numbers in the same tensors. One thread at a time uses it."""

    @property
    def over(self) -> bool:
        """Whether it will never answer again: another version is live, or the same was loaded anew."""
        ...

    def ready(self, patient: bool) -> bool:
        """Whether `run` is likely to answer: for whoever must first fetch the tensors."""
        ...

    def run(self, data: bytes | memoryview, patient: bool) -> Answered | VedetteError | None:
        """The answer for the tensors in `data`, on this thread and at once. None where it is to be submitted instead,
        and made a standing call anew: another version answers, it takes too long, or others wait.

        The next run may write over the outputs. Where it does, the same `Answered` comes back, with other numbers in
        the same arrays, each of which lies in one piece.
        """
        ...

    def waits(self, patient: bool) -> bool:
        """Whether `run` is not likely to answer, and the tensors are better fetched when `wait` says so."""
        ...

    def wait(self, begin: Callable[[bool], None]) -> Ticket | None:
        """Has `begin` called once on another's thread, after what waits already: with True, the tensors are to be
        fetched, and `run_next` to be asked; with False, it is to be submitted. None where too many wait."""
        ...

    def room_next(self, before: int) -> memoryview | None:
        """On that thread, where the tensors had best be read to, behind so many bytes `before` them; None for anywhere.
        Only `run_next` may be asked then, with the tensors there, or all is to be copied before anybody else is."""
        ...

    def run_next(self, data: bytes | memoryview) -> Answered | VedetteError | None:
        """As `run`, on the thread that `wait` has found, however long it takes."""
        ...

    def run_in_place(self, laid: "Laid", patient: bool) -> Answered | VedetteError | None:
        """The same for the tensors in `laid`. None also where somebody is to look at them once the answer is sent: then
        `run` is to be asked, with a copy of them."""
        ...

    def sent(self) -> None:
        """The answer of the last `run` is on its way: it is to be counted. Until then the model counts as at work."""
        ...


class Engine(Protocol):
    """The models of this device, to be asked from any thread."""

    def submit(self, call: Call, done: Done, patient: bool = False) -> Ticket | None:
        """Answers `call` by calling `done` exactly once: on this thread before returning (a fast model when nothing
        waits, or an error), or later on a worker's; then a ticket comes back. `done` must return soon and not raise.

        A `patient` thread has nothing else to do meanwhile, and may be kept by a slower model.
        """
        ...

    def standing(self, call: Call, packed: "Packed") -> Standing | None:
        """`call` as one that will be made again, with tensors of the same names, dtypes and shapes, as `packed` has
        them; None where it cannot be answered now."""
        ...

    def models(self) -> tuple[str, ...]:
        """The names of all models that the device has or is to have, live or not."""
        ...

    def awaited(self) -> tuple[str, ...]:
        """Those of them that keep the server from being ready: they will answer within seconds. A model that was never
        live here does not, for the others answer all the same."""
        ...

    def manifest(self, model: str, version: str = "") -> Manifest:
        """Of the version that would answer. Raises `ModelUnknown` or `ModelUnready`."""
        ...

    def ready(self, model: str, version: str = "") -> bool:
        """Whether a call would be answered now (also one that a model must be loaded again for)."""
        ...

    def statistics(self, model: str) -> Mapping[int, Statistics]:
        """By version, since the agent's start. Raises `ModelUnknown`."""
        ...
